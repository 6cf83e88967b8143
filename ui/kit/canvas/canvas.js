// A canvas on an image's own pixel grid. What is sent back is the painted pixels only, [position, value, …] each,
// so that the others keep the exact value they have in the data.

const CELL = 320; // CSS pixels that the image fills; a whole number of them per pixel keeps the grid sharp

export default function (component) {
  const { parentElement, data, setStateValue } = component;
  parentElement.painting ??= new Painting(parentElement);
  parentElement.painting.update(data, setStateValue);
}

class Painting {
  constructor(root) {
    const find = (selector) => root.querySelector(selector);
    this.canvas = find("canvas");
    this.where = find(".where");
    this.greyLabel = find(".grey");
    this.colourLabel = find(".colour");
    this.grey = find("input[type=range]");
    this.colour = find("input[type=color]");
    this.size = find("select");
    this.eraser = find(".erase");
    this.painted = new Map();
    this.earlier = []; // paintings before each stroke
    this.cursor = { row: 0, column: 0 };
    this.stroke = null;

    this.canvas.onpointerdown = (event) => {
      if (event.button !== 0) return;
      event.preventDefault();
      this.canvas.focus({ focusVisible: false });
      this.canvas.setPointerCapture(event.pointerId);
      this.remember();
      this.stroke = this.pixel(event);
      this.brush(this.stroke);
    };
    this.canvas.onpointermove = (event) => {
      if (this.stroke) this.line(this.stroke, (this.stroke = this.pixel(event)));
    };
    this.canvas.onpointerup = this.canvas.onpointercancel = () => {
      if (!this.stroke) return;
      this.stroke = null;
      this.send();
    };
    this.canvas.onkeydown = (event) => this.key(event);
    this.canvas.onfocus = this.canvas.onblur = () => this.draw();
    this.eraser.onclick = () => {
      this.eraser.setAttribute("aria-pressed", String(!this.erasing));
    };
    find(".undo").onclick = () => {
      if (!this.earlier.length) return;
      this.painted = this.earlier.pop();
      this.draw();
      this.send();
    };
    find(".reset").onclick = () => {
      this.remember();
      this.painted.clear();
      this.draw();
      this.send();
    };
  }

  get erasing() {
    return this.eraser.getAttribute("aria-pressed") === "true";
  }

  update(data, setStateValue) {
    this.setStateValue = setStateValue;
    if (data.version === this.data?.version) return; // the painting here is newer than what the server knows
    this.data = data;
    this.painted.clear();
    this.earlier = [];
    this.base = Uint8Array.from(atob(data.pixels), (letter) => letter.charCodeAt(0)); // row by row, channels last
    this.cell = Math.max(1, Math.floor(CELL / data.width));
    this.canvas.width = data.width * this.cell;
    this.canvas.height = data.height * this.cell;
    this.canvas.setAttribute(
      "aria-label",
      `${data.label}, ${data.width} by ${data.height} pixels. Arrow keys move, Space paints, Delete erases.`,
    );
    this.greyLabel.hidden = data.channels !== 1;
    this.colourLabel.hidden = data.channels === 1;
    this.cursor = { row: Math.floor(data.height / 2), column: Math.floor(data.width / 2) };
    this.where.textContent = "";
    this.draw();
  }

  pixel(event) {
    const box = this.canvas.getBoundingClientRect();
    const place = (offset, length, count) => Math.min(count - 1, Math.max(0, Math.floor((offset / length) * count)));
    return {
      row: place(event.clientY - box.top, box.height, this.data.height),
      column: place(event.clientX - box.left, box.width, this.data.width),
    };
  }

  value() {
    if (this.data.channels === 1) return [Number(this.grey.value)];
    return [1, 3, 5].map((start) => parseInt(this.colour.value.slice(start, start + 2), 16));
  }

  brush(at, erase = this.erasing) {
    const size = Number(this.size.value);
    const first = -Math.floor((size - 1) / 2);
    for (let row = at.row + first; row < at.row + first + size; row++) {
      for (let column = at.column + first; column < at.column + first + size; column++) {
        if (row < 0 || column < 0 || row >= this.data.height || column >= this.data.width) continue;
        const position = row * this.data.width + column;
        if (erase) this.painted.delete(position);
        else this.painted.set(position, this.value());
      }
    }
    this.cursor = at;
    this.draw();
  }

  line(from, to) {
    const steps = Math.max(Math.abs(to.row - from.row), Math.abs(to.column - from.column));
    for (let step = 1; step <= steps; step++) {
      this.brush({
        row: Math.round(from.row + ((to.row - from.row) * step) / steps),
        column: Math.round(from.column + ((to.column - from.column) * step) / steps),
      });
    }
  }

  key(event) {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (event.key in moves) {
      const [rows, columns] = moves[event.key];
      this.cursor = {
        row: Math.min(this.data.height - 1, Math.max(0, this.cursor.row + rows)),
        column: Math.min(this.data.width - 1, Math.max(0, this.cursor.column + columns)),
      };
      this.draw();
    } else if ([" ", "Enter", "Delete", "Backspace"].includes(event.key)) {
      this.remember();
      this.brush(this.cursor, this.erasing || ["Delete", "Backspace"].includes(event.key));
      this.send();
    } else return;
    event.preventDefault();
    event.stopPropagation();
    const position = this.cursor.row * this.data.width + this.cursor.column;
    const words = this.shown(position).map((value) => (value / 255).toFixed(2));
    this.where.textContent = `Row ${this.cursor.row}, column ${this.cursor.column}: ${words.join(", ")}`;
  }

  remember() {
    this.earlier.push(new Map(this.painted));
  }

  shown(position) {
    const { channels } = this.data;
    return this.painted.get(position) ?? [...this.base.slice(position * channels, (position + 1) * channels)];
  }

  send() {
    const strokes = [...this.painted].map(([position, value]) => [position, ...value]);
    this.setStateValue("painted", { version: this.data.version, strokes });
  }

  draw() {
    const { width, height } = this.data;
    const context = this.canvas.getContext("2d");
    for (let position = 0; position < width * height; position++) {
      const value = this.shown(position);
      const [red, green, blue] = value.length === 1 ? [value[0], value[0], value[0]] : value;
      context.fillStyle = `rgb(${red}, ${green}, ${blue})`;
      context.fillRect((position % width) * this.cell, Math.floor(position / width) * this.cell, this.cell, this.cell);
    }
    if (this.cell >= 8) {
      context.strokeStyle = `rgba(128, 134, 145, ${this.cell >= 24 ? 0.45 : 0.2})`;
      context.lineWidth = 1;
      context.beginPath();
      for (let column = 1; column < width; column++) {
        context.moveTo(column * this.cell + 0.5, 0);
        context.lineTo(column * this.cell + 0.5, this.canvas.height);
      }
      for (let row = 1; row < height; row++) {
        context.moveTo(0, row * this.cell + 0.5);
        context.lineTo(this.canvas.width, row * this.cell + 0.5);
      }
      context.stroke();
    }
    if (this.canvas.matches(":focus-visible")) {
      context.strokeStyle = "#D55E00";
      context.lineWidth = 3;
      context.strokeRect(this.cursor.column * this.cell + 1.5, this.cursor.row * this.cell + 1.5, this.cell - 3, this.cell - 3);
    }
  }
}
