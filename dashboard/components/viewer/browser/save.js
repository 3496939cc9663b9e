// A picture of what is seen, as a file.

const TEXT = 18; // height of a line of text, in CSS pixels
const GAP = 8;

/** Save all planes with their captions, and the organs shown with their colours, as one PNG. */
function savePicture(name, title, rows, legend) {
  const dense = Math.max(...rows.flatMap(({ panels }) => panels.map((panel) => panel.canvas.width / panel.width)));
  const width = Math.max(...rows.map(({ panels }) => panels.reduce((sum, panel) => sum + panel.width + GAP, GAP)));
  const tall = (row) => Math.max(...row.panels.map((panel) => panel.height)) + 2 * TEXT + GAP;
  const probe = pen(new OffscreenCanvas(1, 1), 1);
  const lines = wrapped(probe, legend, width);
  const height = TEXT + GAP + rows.reduce((sum, row) => sum + tall(row), 0) + lines.length * TEXT + GAP;
  const canvas = new OffscreenCanvas(Math.round(width * dense), Math.round(height * dense));
  const drawn = pen(canvas, dense);
  drawn.fillStyle = "white";
  drawn.fillRect(0, 0, width, height);
  let y = write(drawn, title, GAP, GAP);
  for (const row of rows) {
    write(drawn, row.name, GAP, y);
    drawPanels(drawn, row.panels, y + TEXT);
    y += tall(row);
  }
  for (const line of lines) {
    for (const { text, colour, x } of line) drawEntry(drawn, text, colour, x, y);
    y += TEXT;
  }
  canvas.convertToBlob({ type: "image/png" }).then((blob) => download(blob, `${name}.png`));
}

function pen(canvas, dense) {
  const made = canvas.getContext("2d");
  made.setTransform(dense, 0, 0, dense, 0, 0);
  Object.assign(made, { font: "13px sans-serif", textBaseline: "top" });
  return made;
}

function write(drawn, text, x, y) {
  drawn.fillStyle = "black";
  drawn.fillText(text, x, y);
  return y + TEXT;
}

function drawPanels(drawn, panels, y) {
  let x = GAP;
  for (const panel of panels) {
    drawn.drawImage(panel.canvas, x, y, panel.width, panel.height);
    write(drawn, panel.caption, x, y + panel.height + 2);
    x += panel.width + GAP;
  }
}

function drawEntry(drawn, text, colour, x, y) {
  drawn.fillStyle = `rgb(${colour})`;
  drawn.fillRect(x, y + 1, 11, 11);
  write(drawn, text, x + 15, y);
}

/** Entries `{ text, colour }` in lines no longer than the picture is wide, each with its `x`. */
function wrapped(drawn, entries, width) {
  const lines = [[]];
  let x = GAP;
  for (const entry of entries) {
    const long = drawn.measureText(entry.text).width + 27;
    if (x + long > width && x > GAP) [x] = [GAP, lines.push([])];
    lines.at(-1).push({ ...entry, x });
    x += long;
  }
  return lines;
}

function download(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
