// Swagger UI over this server's own OpenAPI document.
window.addEventListener("DOMContentLoaded", () => {
  SwaggerUIBundle({
    url: "openapi.json",
    dom_id: "#documentation",
    presets: [SwaggerUIBundle.presets.apis],
    defaultModelsExpandDepth: 0,
    validatorUrl: null,
    syntaxHighlight: false,
    onComplete: () => { // what lies before Swagger UI's main element belongs to a landmark, too
      const about = document.querySelector("#documentation .information-container");
      about?.setAttribute("role", "region");
      about?.setAttribute("aria-label", document.title);
    },
  });
});
