// Sends files and hands over each answer as soon as its line is there.
// fetch cannot tell how much of an upload is sent, so this is an XMLHttpRequest.
export class Lost extends Error {}

export class Refused extends Error {
  constructor(status, body) {
    super(body?.error ? [body.error.message, body.error.hint].filter(Boolean).join(" – ") : `HTTP ${status}`);
    this.status = status;
  }
}

export const send = (files, { key, onSent, onLine, signal }) => new Promise((resolve, reject) => {
  const form = new FormData();
  for (const file of files) form.append("files", file, file.path || file.webkitRelativePath || file.name);
  const request = new XMLHttpRequest();
  let read = 0;
  let ended = false;
  let next = 0; // responseText is one long text, copied whenever it is asked for: rarely, the longer it gets
  const take = () => {
    const text = request.responseText;
    let end = text.indexOf("\n", read);
    while (end >= 0) {
      const line = JSON.parse(text.slice(read, end));
      if (line.end) ended = true;
      else onLine(line);
      read = end + 1;
      end = text.indexOf("\n", read);
    }
  };
  request.open("POST", "view");
  try {
    if (key) request.setRequestHeader("X-API-Key", key);
  } catch { // no header can hold it
    reject(new Refused(401, null));
    return;
  }
  request.upload.onprogress = (event) => onSent(event.loaded, event.total);
  request.onprogress = (event) => {
    if (request.status !== 200 || event.loaded < next) return;
    next = 1.25 * event.loaded;
    take();
  };
  request.onerror = () => reject(new Lost());
  request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
  request.onload = () => {
    if (request.status === 200) {
      take();
      if (ended) resolve();
      else reject(new Lost());
      return;
    }
    let body = null;
    try { body = JSON.parse(request.responseText); } catch { /* a proxy's own page */ }
    reject(new Refused(request.status, body));
  };
  signal.addEventListener("abort", () => request.abort());
  request.send(form);
});
