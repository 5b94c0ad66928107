// Draws one slice: window and level, zoom and pan, the map over it, a millimetre scale.
import { INFERNO } from "./colours.js";
import { numbers, strengths } from "./unpack.js";

const RULERS = [1, 2, 5, 10, 20, 50, 100, 200];

const sheet = (columns, rows) => {
  const made = document.createElement("canvas");
  made.width = columns;
  made.height = rows;
  return made;
};

export class Viewer {
  // `changed` is called after every drawing, with the window, the zoom and the ruler.
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    this.picture = null;
    this.map = null;
    this.inverted = false;
    this.opacity = 0.6;
    this.mapOn = true;
    this.home();
    this.window = null;
    new ResizeObserver(() => this.fit()).observe(canvas);
    this.listen();
  }

  // Another slice. The window stays unless `fresh`: slices of a series are compared.
  async show(item, fresh) {
    const { shown } = item;
    const turn = (this.turn = Symbol("slice"));
    this.fresh ||= fresh; // also when the slice that asked for it is overtaken
    const [values, map] = await Promise.all([
      numbers(shown.picture.data), shown.map ? strengths(shown.map.data) : null,
    ]);
    if (turn !== this.turn) return; // a later slice was asked for meanwhile
    const blank = this.window && this.width <= this.picture.step; // a window for a blank slice fits no other
    this.picture = { ...shown.picture, values, sheet: sheet(shown.picture.columns, shown.picture.rows) };
    this.map = shown.map && { ...shown.map, sheet: this.coloured(shown.map, map) };
    this.item = item; // whose picture it is, until another's is there
    if (this.fresh || blank || !this.window) {
      this.fresh = false;
      this.window = [...shown.picture.window];
      this.home();
    }
    this.paint();
  }

  home() {
    this.zoom = 1;
    this.shift = [0, 0];
  }

  reset() {
    if (!this.picture) return;
    this.window = [...this.picture.window];
    this.inverted = false;
    this.home();
    this.paint();
  }

  // The whole range of grey values, for sliders.
  get range() {
    const { low, step } = this.picture;
    let top = 0;
    for (const value of this.picture.values) if (value > top) top = value;
    return [low, low + step * Math.max(top, 1)];
  }

  get level() { return (this.window[0] + this.window[1]) / 2; }
  get width() { return this.window[1] - this.window[0]; }

  setWindow(level, width) {
    const least = this.picture.step;
    const wide = Math.max(width, least);
    this.window = [level - wide / 2, level + wide / 2];
    this.paint();
  }

  moveBy(across, down) {
    this.shift = [this.shift[0] + across, this.shift[1] + down];
    this.draw();
  }

  zoomBy(factor, x = 0, y = 0) {
    const zoom = Math.min(20, Math.max(0.2, this.zoom * factor));
    const real = zoom / this.zoom;
    this.shift = [x - (x - this.shift[0]) * real, y - (y - this.shift[1]) * real];
    this.zoom = zoom;
    this.draw();
  }

  coloured({ rows, columns }, values) {
    const made = sheet(columns, rows);
    const context = made.getContext("2d");
    const image = context.createImageData(columns, rows);
    for (let i = 0; i < values.length; i += 1) {
      const strength = values[i];
      image.data.set(INFERNO.subarray(3 * strength, 3 * strength + 3), 4 * i);
      image.data[4 * i + 3] = strength; // where the map is weak, the slice stays visible
    }
    context.putImageData(image, 0, 0);
    return made;
  }

  // Grey values to the sheet; only when the slice or its window has changed.
  paint() {
    if (!this.picture) return;
    const { values, low, step, rows, columns } = this.picture;
    const context = this.picture.sheet.getContext("2d");
    const image = context.createImageData(columns, rows);
    const pixels = new Uint32Array(image.data.buffer);
    const scale = (255 * step) / this.width;
    const offset = (255 * (low - this.window[0])) / this.width;
    const flip = this.inverted ? 255 : 0;
    for (let i = 0; i < values.length; i += 1) {
      const grey = flip ^ Math.max(0, Math.min(255, Math.round(values[i] * scale + offset)));
      pixels[i] = 0xff000000 | (grey * 0x010101);
    }
    context.putImageData(image, 0, 0);
    this.draw();
  }

  // Where the slice lies on the canvas, in its pixels; rows may be taller than columns are wide.
  place() {
    const { rows, columns, spacing } = this.picture;
    const tall = spacing ? (rows * spacing[0]) / spacing[1] : rows;
    const fit = Math.min(this.canvas.width / columns, this.canvas.height / tall) * this.zoom;
    const [width, height] = [columns * fit, tall * fit];
    const dots = devicePixelRatio || 1;
    return {
      fit,
      x: (this.canvas.width - width) / 2 + this.shift[0] * dots,
      y: (this.canvas.height - height) / 2 + this.shift[1] * dots,
      width,
      height,
    };
  }

  draw() {
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.picture) return;
    const at = this.place();
    context.imageSmoothingEnabled = at.fit < 8; // far in, the pixels themselves are of interest
    context.imageSmoothingQuality = "high";
    context.globalAlpha = 1;
    context.drawImage(this.picture.sheet, at.x, at.y, at.width, at.height);
    if (this.map && this.mapOn) {
      context.imageSmoothingEnabled = true;
      context.globalAlpha = this.opacity;
      context.drawImage(this.map.sheet, at.x, at.y, at.width, at.height);
      context.globalAlpha = 1;
    }
    this.changed({ window: this.window, zoom: this.zoom, ruler: this.ruler(at) });
  }

  ruler(at) {
    const { spacing } = this.picture;
    if (!spacing) return null;
    const perMillimetre = at.fit / spacing[1] / (devicePixelRatio || 1);
    const longest = this.canvas.clientWidth / 4;
    const millimetres = RULERS.findLast((length) => length * perMillimetre <= longest) ?? RULERS[0];
    return { millimetres, pixels: millimetres * perMillimetre };
  }

  fit() {
    const dots = devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * dots));
    this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * dots));
    this.draw();
  }

  // The slice and its map as data URLs, for the report.
  export() {
    const plain = sheet(this.picture.columns, this.picture.rows);
    plain.getContext("2d").drawImage(this.picture.sheet, 0, 0);
    if (!this.map) return { plain: plain.toDataURL("image/png"), mapped: null };
    const mapped = sheet(this.picture.columns, this.picture.rows);
    const context = mapped.getContext("2d");
    context.drawImage(this.picture.sheet, 0, 0);
    context.globalAlpha = Math.max(this.opacity, 0.4);
    context.drawImage(this.map.sheet, 0, 0, mapped.width, mapped.height);
    return { plain: plain.toDataURL("image/png"), mapped: mapped.toDataURL("image/png") };
  }

  listen() {
    const held = new Map();
    let apart = 0;
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      held.set(event.pointerId, [event.clientX, event.clientY]);
      apart = 0;
    });
    for (const name of ["pointerup", "pointercancel"]) {
      this.canvas.addEventListener(name, (event) => held.delete(event.pointerId));
    }
    this.canvas.addEventListener("pointermove", (event) => {
      const last = held.get(event.pointerId);
      if (!last || !this.picture) return;
      const [across, down] = [event.clientX - last[0], event.clientY - last[1]];
      held.set(event.pointerId, [event.clientX, event.clientY]);
      if (held.size === 2) { // two fingers: zoom
        const [[ax, ay], [bx, by]] = [...held.values()];
        const distance = Math.hypot(ax - bx, ay - by);
        if (apart) this.zoomBy(distance / apart);
        apart = distance;
      } else if (event.shiftKey || event.buttons === 4) {
        this.moveBy(across, down);
      } else { // as on a workstation: across is contrast, down is brightness
        const unit = (this.picture.window[1] - this.picture.window[0]) / 300;
        this.setWindow(this.level - down * unit, this.width + across * unit);
      }
    });
  }
}
