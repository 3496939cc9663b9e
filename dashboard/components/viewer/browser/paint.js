// One plane on a canvas: the slice in its window, label maps over it, directions, scale bar and crosshair.
//
// Pictures are to scale and radiological: the patient's right is on the picture's left, as if seen from the feet.
// Every axis of the canonical volume (inferior → superior, posterior → anterior, left → right) runs against the
// screen's, so that a plane's picture is its slice turned by half a turn.

// axis: the one of D, H, W that it is cut across; rows, columns: those down and across its picture.
const PLANES = [
  { name: "Axial", axis: 0, rows: 1, columns: 2, letter: "z", left: "R", right: "L", top: "A", bottom: "P" },
  { name: "Coronal", axis: 1, rows: 0, columns: 2, letter: "y", left: "R", right: "L", top: "S", bottom: "I" },
  { name: "Sagittal", axis: 2, rows: 0, columns: 1, letter: "x", left: "A", right: "P", top: "S", bottom: "I" },
];

const LINE = 1.5; // of outlines, in CSS pixels
const DASH = 5;
const BARS_MM = [200, 100, 50, 20, 10, 5, 2, 1];

/** A slice as its picture shows it, row by row: of each voxel, what `table` says of its value. */
function sliceOf(voxels, shape, { axis, rows, columns }, index, table, slice) {
  const strides = [shape[1] * shape[2], shape[2], 1];
  const step = strides[columns];
  for (let row = 0, at = shape[rows] * shape[columns]; row < shape[rows]; row++) {
    let voxel = index * strides[axis] + row * strides[rows];
    for (let column = 0; column < shape[columns]; column++, voxel += step) slice[--at] = table[voxels[voxel]];
  }
  return slice;
}

/** A packed pixel of ImageData, whose bytes are red, green, blue, opacity. */
const pixel = ([red, green, blue], opacity = 255) => ((opacity << 24) | (blue << 16) | (green << 8) | red) >>> 0;

const FADED = 77; // of 255

/** Grey pixels of all 256 codes in a window of HU. */
function greys(hu, level, width) {
  return Uint32Array.from(hu, (value) => {
    const shade = Math.round(255 * Math.min(1, Math.max(0, (value - level) / width + 0.5)));
    return pixel([shade, shade, shade]);
  });
}

/** A canvas of a slice's size, and its pixels: `put` shows what was written to them. */
class Picture {
  constructor(width, height) {
    this.canvas = new OffscreenCanvas(width, height);
    this.pen = this.canvas.getContext("2d");
    this.data = new ImageData(width, height);
    this.pixels = new Uint32Array(this.data.data.buffer);
  }

  put() {
    this.pen.putImageData(this.data, 0, 0);
  }
}

/** The borders of each label as a path in CSS pixels from the picture's corner, just inside it: label → Path2D. */
function outlines(labels, width, height, across, down, dashed) {
  const paths = new Map();
  const period = Math.max(1, Math.round(DASH / Math.max(across, down)));
  const inside = LINE / 2;
  for (let row = 0, i = 0; row < height; row++) {
    for (let column = 0; column < width; column++, i++) {
      const label = labels[i];
      if (!label || (dashed && Math.floor((row + column) / period) % 2)) continue;
      const above = row === 0 || labels[i - width] !== label;
      const below = row === height - 1 || labels[i + width] !== label;
      const before = column === 0 || labels[i - 1] !== label;
      const after = column === width - 1 || labels[i + 1] !== label;
      if (!(above || below || before || after)) continue;
      if (!paths.has(label)) paths.set(label, new Path2D());
      const path = paths.get(label);
      const [left, right] = [column * across, (column + 1) * across];
      const [top, bottom] = [row * down, (row + 1) * down];
      const line = (x1, y1, x2, y2) => (path.moveTo(x1, y1), path.lineTo(x2, y2));
      if (above) line(left, top + inside, right, top + inside);
      if (below) line(left, bottom - inside, right, bottom - inside);
      if (before) line(left + inside, top, left + inside, bottom);
      if (after) line(right - inside, top, right - inside, bottom);
    }
  }
  return paths;
}

/** Letters of the patient's directions at the edges, and a bar of a round length. */
function annotate(pen, plane, width, height, pixelsPerMm) {
  const margin = 6;
  const write = (text, x, y, align, baseline) => {
    Object.assign(pen, { textAlign: align, textBaseline: baseline });
    Object.assign(pen, { lineWidth: 3, strokeStyle: "black", fillStyle: "white" });
    pen.strokeText(text, x, y);
    pen.fillText(text, x, y); // readable on bone too
  };
  pen.font = "600 14px sans-serif";
  write(plane.left, margin, height / 2, "left", "middle");
  write(plane.right, width - margin, height / 2, "right", "middle");
  write(plane.top, width / 2, margin, "center", "top");
  write(plane.bottom, width / 2, height - margin, "center", "bottom");
  const bar = BARS_MM.find((mm) => mm * pixelsPerMm < width / 3) ?? 1;
  pen.fillStyle = "black";
  pen.fillRect(margin - 1, height - margin - 3, bar * pixelsPerMm + 2, 5);
  pen.fillStyle = "white";
  pen.fillRect(margin, height - margin - 2, bar * pixelsPerMm, 3);
  pen.font = "12px sans-serif";
  write(`${bar} mm`, margin, height - margin - 5, "left", "bottom");
}

function drawCrosshair(pen, x, y, width, height) {
  pen.strokeStyle = "rgba(255, 255, 255, 0.55)";
  pen.lineWidth = 1;
  pen.beginPath();
  for (const [x1, y1, x2, y2] of [
    [0, y, x - 8, y], [x + 8, y, width, y], [x, 0, x, y - 8], [x, y + 8, x, height],
  ]) {
    pen.moveTo(x1, y1);
    pen.lineTo(x2, y2);
  }
  pen.stroke();
}

/**
 * A plane of one model on a canvas of its own. What a slice needs is made once and kept until it changes.
 *
 * The canvas has the size of its place on the page; where in it the slice's picture lies, and how large, is its `frame`:
 * `view.centre` (a point in voxels, from the volume's corner) is in the canvas's middle.
 */
class Panel {
  constructor(plane, canvas) {
    this.plane = plane;
    this.canvas = canvas;
    this.made = null;
  }

  /** Set its size in CSS pixels, and pixels per mm where nothing is zoomed. */
  resize(width, height, scale) {
    this.scale = scale;
    const dense = window.devicePixelRatio || 1;
    [this.width, this.height] = [width, height];
    [this.canvas.width, this.canvas.height] = [Math.round(width * dense), Math.round(height * dense)];
    Object.assign(this.canvas.style, { width: `${width}px`, height: `${height}px` });
    this.made = null;
  }

  /** Left, top, width and height of the picture on the canvas, in CSS pixels. */
  frame({ shape, spacing, centre, zoom }) {
    const along = (axis, middle) => {
      const voxel = spacing[axis] * this.scale * zoom;
      return [middle - (shape[axis] - centre[axis]) * voxel, shape[axis] * voxel];
    };
    const [left, width] = along(this.plane.columns, this.width / 2);
    const [top, height] = along(this.plane.rows, this.height / 2);
    return { left, top, width, height };
  }

  /** Draw the slice at `view.at`; `layers(slice)` gives what lies over it: labels, colours, manner, dashed. */
  draw(view, scan, layers) {
    const { plane, width, height } = this;
    const key = `${view.at[plane.axis]} ${view.version}`;
    if (this.made?.key !== key) this.made = { key, ...this.#make(view, scan, layers) };
    const frame = this.frame(view);
    if (this.made.zoom !== view.zoom) Object.assign(this.made, { zoom: view.zoom, lines: this.#lines(frame) });
    this.canvas.dataset.frame = [frame.left, frame.top, frame.width, frame.height];
    const pen = this.canvas.getContext("2d");
    const dense = this.canvas.width / width;
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    pen.fillStyle = "black";
    pen.fillRect(0, 0, width, height);
    pen.imageSmoothingEnabled = true;
    pen.drawImage(this.grey.canvas, frame.left, frame.top, frame.width, frame.height);
    pen.imageSmoothingEnabled = false; // the edges of labelled voxels stay visible
    pen.globalAlpha = view.opacity;
    if (this.made.filled) pen.drawImage(this.fill.canvas, frame.left, frame.top, frame.width, frame.height);
    pen.globalAlpha = 1;
    pen.lineWidth = LINE;
    pen.translate(frame.left, frame.top);
    for (const { path, colour } of this.made.lines) {
      pen.strokeStyle = `rgb(${colour})`;
      pen.stroke(path);
    }
    pen.translate(-frame.left, -frame.top);
    const [x, y] = this.#place(view, frame);
    drawCrosshair(pen, x, y, width, height);
    annotate(pen, plane, width, height, this.scale * view.zoom);
  }

  /** The voxel under a point of the canvas, or the nearest one: its place along the plane's rows and columns. */
  voxelAt(x, y, view) {
    const { left, top, width, height } = this.frame(view);
    const place = (share, length) => Math.min(length - 1, Math.max(0, length - 1 - Math.floor(share * length)));
    const { rows, columns } = this.plane;
    return [place((y - top) / height, view.shape[rows]), place((x - left) / width, view.shape[columns])];
  }

  #place({ at, shape }, { left, top, width, height }) {
    const { rows, columns } = this.plane;
    const share = (axis) => (shape[axis] - at[axis] - 0.5) / shape[axis];
    return [left + share(columns) * width, top + share(rows) * height];
  }

  /** At most one layer is filled. */
  #make(view, scan, layers) {
    const { plane } = this;
    const [across, down] = [view.shape[plane.columns], view.shape[plane.rows]];
    const cut = (voxels, table, slice = new Uint8Array(across * down)) =>
      sliceOf(voxels, view.shape, plane, view.at[plane.axis], table, slice);
    this.#size(across, down);
    cut(scan, view.greys, this.grey.pixels);
    this.grey.put();
    const made = layers(cut);
    const filled = made.find(({ manner }) => manner === "fill");
    if (filled) this.#fill(filled);
    return { filled, outlined: made.filter((layer) => layer !== filled), across, down };
  }

  /** Lines are as thick at any zoom, so each has its own. */
  #lines({ width, height }) {
    const { outlined, across, down } = this.made;
    return outlined.flatMap(({ labels, colours, dashed }) => {
      const paths = outlines(labels, across, down, width / across, height / down, dashed);
      return Array.from(paths, ([label, path]) => ({ path, colour: colours[label] }));
    });
  }

  #fill({ labels, colours, faded = [] }) {
    const opaque = (colour, label) => pixel(colour, faded[label] ? FADED : 255);
    const pixels = Uint32Array.from(colours, (colour, label) => (colour ? opaque(colour, label) : 0));
    for (let i = 0; i < labels.length; i++) this.fill.pixels[i] = pixels[labels[i]];
    this.fill.put();
  }

  #size(width, height) {
    if (this.grey?.canvas.width === width && this.grey.canvas.height === height) return;
    [this.grey, this.fill] = [new Picture(width, height), new Picture(width, height)];
  }
}
