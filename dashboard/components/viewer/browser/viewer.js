// The viewer itself: what is shown (`view`), how a person changes it, and the pictures and texts that follow from it.

const ADDRESS_AFTER_MS = 300;
const NOTCH = 100; // pixels that a wheel's notch scrolls, at least half of them: one slice; a touchpad's steps add up
const digits = (value) => (value === null ? "–" : value.toFixed(3));

class Viewer {
  constructor(root) {
    this.root = root;
    this.field = (name) => root.querySelector(`[name="${name}"]`);
    this.view = null;
    this.rows = [];
    this.wheel = 0;
    this.#connectTools();
    new ResizeObserver(() => this.view && this.#fit()).observe(root);
  }

  /** Show the case in a message; one that is open already stays as it is. */
  async open(bytes) {
    const read = readHeader(bytes);
    if (read.header.key === this.key) return;
    this.key = read.header.key;
    const [scan, ...maps] = await readVolumes(bytes, read);
    if (read.header.key !== this.key) return; // another case was chosen meanwhile
    this.#show(read.header, scan, maps);
    this.root.querySelector(".status").hidden = true;
    this.root.querySelector(".opened").hidden = false;
    this.#fit();
  }

  fail(error) {
    this.key = null;
    const status = this.root.querySelector(".status");
    const remedy = "Load the page again; a current Chrome, Edge, Firefox or Safari is needed.";
    status.textContent = `This browser could not open the scan (${error.message}). ${remedy}`;
    status.classList.add("broken");
    status.hidden = false;
  }

  #show(header, scan, maps) {
    const { organs, shape, spacing } = header;
    const truth = header.truth ? maps.shift() : null;
    const ids = organs.map(({ id }) => id);
    const models = maps.length ? maps : [null];
    const tallies = models.map((predicted) => new Tally(truth, predicted, shape, ids));
    const last = this.view;
    this.view = {
      ...(last ?? { level: 40, width: 400, show: "both", manner: "fill", opacity: 0.4, version: 0 }),
      ...{ header, shape, spacing, organs, scan, truth, models, tallies },
    };
    if (last?.header.scan !== header.scan) this.view.at = PLANES.map(({ axis }) => tallies[0].telling(axis));
    const same = last && String(last.organs.map(({ id }) => id)) === String(ids);
    if (!same) this.view.shown = organs.map(() => true);
    if (!last) this.#followAddress();
    this.#offerTools();
    this.#offerOrgans();
    this.#makeRows();
    this.#look();
  }

  #followAddress() {
    const { view } = this;
    const { at, window, show, off } = readAddress();
    view.at = view.at.map((start, axis) => (at[axis] ? clamp(Math.round(at[axis]) - 1, view.shape[axis]) : start));
    if (window.length === 2 && window.every(Number.isFinite) && window[1] > 0) [view.level, view.width] = window;
    if (show in SHOWN) view.show = show;
    view.shown = view.organs.map(({ id }) => !off.includes(id));
  }

  // --- controls -----------------------------------------------------------------------------------------------

  #connectTools() {
    const { field } = this;
    const set = (change) => (change(this.view), this.#look());
    field("preset").append(...["Free", ...Object.keys(WINDOWS)].map((name) => make("option", { value: name }, name)));
    field("preset").onchange = ({ target }) =>
      set((view) => ([view.level, view.width] = WINDOWS[target.value] ?? [view.level, view.width]));
    field("level").onchange = ({ target }) => set((view) => (view.level = Number(target.value)));
    field("width").onchange = ({ target }) => set((view) => (view.width = Math.max(1, Number(target.value))));
    field("show").onchange = ({ target }) => set((view) => (view.show = target.value));
    field("manner").onchange = ({ target }) => set((view) => (view.manner = target.value));
    field("opacity").oninput = ({ target }) => set((view) => (view.opacity = target.value / 100));
    field("all").onclick = () => set((view) => view.shown.fill(true));
    field("none").onclick = () => set((view) => view.shown.fill(false));
    field("save").onclick = () => this.#save();
  }

  /** What can be shown depends on the label maps that the case has. */
  #offerTools() {
    const { view } = this;
    const predicted = view.models[0] !== null;
    const offered = [view.truth && predicted && "both", view.truth && "truth", predicted && "prediction"];
    offered.push(view.truth && predicted && "difference", "none");
    const names = offered.filter(Boolean);
    this.field("show").replaceChildren(...names.map((name) => make("option", { value: name }, SHOWN[name])));
    if (!names.includes(view.show)) view.show = names[0];
  }

  #offerOrgans() {
    const { view } = this;
    const group = this.root.querySelector(".organs");
    group.querySelectorAll("[data-testid]").forEach((button) => button.remove());
    view.organs.forEach(({ id, name, colour }, number) => {
      const button = make("button", { type: "button", "data-testid": `organ-${id}` }, chip(colour), name);
      button.disabled = !view.tallies.some((tally) => tally.has(number));
      if (button.disabled) button.title = "In no label map of this case";
      button.onclick = () => ((view.shown[number] = !view.shown[number]), this.#look());
      group.append(button);
    });
  }

  // --- planes -------------------------------------------------------------------------------------------------

  #makeRows() {
    const names = this.view.header.predictions;
    this.rows = this.view.models.map((_, number) => {
      const heading = make("p", { "data-testid": `model-${number + 1}` });
      const panels = PLANES.map((plane) => this.#makePanel(plane, number));
      const row = { name: names[number] ?? "", heading, panels };
      const planes = make("div", { class: "planes" }, ...panels.map(({ cell }) => cell));
      row.element = make("div", { class: "row" }, heading, planes);
      return row;
    });
    this.root.querySelector(".rows").replaceChildren(...this.rows.map(({ element }) => element));
  }

  #makePanel(plane, number) {
    const name = plane.name.toLowerCase();
    const suffix = number ? `-${number + 1}` : "";
    const tested = (part) => ({ "data-testid": `${part}${name}${suffix}` });
    const label = `${plane.name} plane of ${this.view.header.title}`;
    const canvas = make("canvas", { tabindex: "0", role: "img", "aria-label": label, ...tested("") });
    const panel = new Panel(plane, canvas);
    panel.slice = make("span", tested("slice-"));
    panel.dice = make("span", tested("dice-"));
    const worst = { type: "button", title: `${plane.name} slice with the lowest Dice`, ...tested("worst-") };
    panel.worst = make("button", worst, "Worst");
    panel.worst.onclick = () => this.#goTo(plane.axis, this.view.tallies[number].worst(plane.axis, this.view.shown));
    panel.slider = make("input", { type: "range", min: "1", "aria-label": `${plane.name} slice`, ...tested("slider-") });
    panel.slider.oninput = () => this.#goTo(plane.axis, panel.slider.value - 1);
    const texts = make("div", {}, panel.slice, panel.dice, panel.worst);
    panel.cell = make("div", { class: "plane" }, canvas, panel.slider, texts);
    this.#listen(panel);
    return panel;
  }

  #listen(panel) {
    const { canvas } = panel;
    canvas.addEventListener("wheel", (event) => this.#scroll(event, panel.plane), { passive: false });
    canvas.addEventListener("keydown", (event) => this.#press(event, panel.plane));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      panel.dragged = event.button === 2 ? this.#windowing(event) : (moved) => this.#point(moved, panel);
      panel.dragged(event);
    });
    canvas.addEventListener("pointermove", (event) => event.buttons && panel.dragged?.(event));
    canvas.addEventListener("pointerup", () => (panel.dragged = null));
  }

  #scroll(event, { axis }) {
    if (event.ctrlKey) return; // the browser's own zoom
    event.preventDefault();
    const pixels = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? event.deltaY : event.deltaY * (NOTCH / 3);
    this.wheel = Math.abs(pixels) < NOTCH / 2 ? this.wheel + 2 * pixels : NOTCH * Math.sign(pixels);
    const steps = Math.trunc(this.wheel / NOTCH);
    this.wheel -= steps * NOTCH;
    this.#goTo(axis, this.view.at[axis] - steps);
  }

  #press(event, { axis, rows, columns }) {
    const moves = {
      ...{ PageUp: [axis, 1], PageDown: [axis, -1] },
      ...{ ArrowUp: [rows, 1], ArrowDown: [rows, -1], ArrowLeft: [columns, 1], ArrowRight: [columns, -1] },
    };
    const [moved, steps] = moves[event.key] ?? [];
    if (moved === undefined) return;
    event.preventDefault();
    this.#goTo(moved, this.view.at[moved] + steps);
  }

  #point({ offsetX, offsetY }, panel) {
    const { rows, columns } = panel.plane;
    [this.view.at[rows], this.view.at[columns]] = panel.voxelAt(offsetX, offsetY, this.view.shape);
    this.#draw();
  }

  /** Across changes the width, down the level, two HU a pixel. */
  #windowing({ clientX, clientY }) {
    const { level, width } = this.view;
    return (moved) => {
      this.view.width = Math.max(1, Math.round(width + 2 * (moved.clientX - clientX)));
      this.view.level = Math.round(level + 2 * (moved.clientY - clientY));
      this.#look();
    };
  }

  #goTo(axis, index) {
    if (index === null) return;
    this.view.at[axis] = clamp(index, this.view.shape[axis]);
    this.#draw();
  }

  // --- pictures and texts -------------------------------------------------------------------------------------

  /** All planes of a row have one scale, and fill the page's width unless they would be too tall for it. */
  #fit() {
    const { shape, spacing } = this.view;
    const mm = shape.map((length, axis) => length * spacing[axis]);
    const across = PLANES.reduce((sum, { columns }) => sum + mm[columns], 0);
    const tallest = Math.max(...PLANES.map(({ rows }) => mm[rows]));
    const room = window.innerHeight * (this.rows.length > 1 ? 0.42 : 0.65);
    const scale = Math.min((this.root.clientWidth - 2 * GAP) / across, room / tallest);
    for (const { panels } of this.rows) {
      for (const panel of panels) {
        const { rows, columns } = panel.plane;
        panel.resize(Math.max(1, Math.floor(mm[columns] * scale)), Math.max(1, Math.floor(mm[rows] * scale)));
        panel.cell.style.width = `max(${panel.width}px, 11rem)`;
      }
    }
    this.#draw();
  }

  /** After a change of what is shown, not where. */
  #look() {
    const { view, field } = this;
    view.version++;
    view.greys = greys(view.header.hu, view.level, view.width);
    view.lookup = new Uint8Array(256); // of a class id: 1 + its place among the organs, 0 where it is not shown
    view.organs.forEach(({ id }, number) => view.shown[number] && (view.lookup[id] = number + 1));
    const preset = Object.keys(WINDOWS).find((name) => String(WINDOWS[name]) === String([view.level, view.width]));
    const { level, width, show, manner } = view;
    const values = { preset: preset ?? "Free", level, width, show, manner, opacity: 100 * view.opacity };
    for (const [name, value] of Object.entries(values)) field(name).value = value;
    view.organs.forEach(({ id }, number) =>
      this.root.querySelector(`[data-testid="organ-${id}"]`).setAttribute("aria-pressed", view.shown[number]),
    );
    this.root.querySelector(".legend").replaceChildren(...legend(view));
    this.#draw();
  }

  /** Draw before the next frame, however many events come until then. */
  #draw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.rows.forEach((row, number) => this.#drawRow(row, number));
    });
    clearTimeout(this.pending);
    this.pending = setTimeout(() => this.root.isConnected && writeAddress(this.view), ADDRESS_AFTER_MS);
  }

  #drawRow(row, number) {
    const { view } = this;
    const tally = view.tallies[number];
    const total = tally.paired && `Dice of the organs shown ${digits(tally.total(view.shown))}`;
    row.heading.textContent = [row.name, total].filter(Boolean).join(" · ");
    for (const panel of row.panels) {
      const { axis, name } = panel.plane;
      const dice = tally.dice(axis, view.at[axis], view.shown);
      panel.draw(view, view.scan, (cut) => layersOf(view, number, cut));
      panel.slice.textContent = `${name} · slice ${view.at[axis] + 1}/${view.shape[axis]}`;
      panel.dice.textContent = tally.paired ? `Dice in this slice ${digits(dice)}` : "";
      panel.worst.hidden = !tally.paired;
      panel.slider.max = view.shape[axis];
      panel.slider.value = view.at[axis] + 1;
      panel.caption = [panel.slice.textContent, tally.paired && `Dice ${digits(dice)}`].filter(Boolean).join(" · ");
    }
  }

  #save() {
    const { view, rows } = this;
    const labelled = (number) => view.tallies.some((tally) => tally.has(number));
    const organs = view.organs.filter((_, number) => view.shown[number] && labelled(number));
    const entries = view.show === "difference" ? DIFFERENCES : view.show === "none" ? [] : organs;
    const window = `window ${view.level}/${view.width} HU · ${SHOWN[view.show]}`;
    const named = rows.map(({ heading, panels }) => ({ name: heading.textContent, panels }));
    const list = entries.map(({ name, colour }) => ({ text: name, colour }));
    savePicture(view.header.title, `${view.header.title} · ${window}`, named, list);
  }
}

const clamp = (index, length) => Math.min(length - 1, Math.max(0, index));

const viewers = new WeakMap();

export default async function ({ data, parentElement }) {
  const root = parentElement.querySelector(".viewer");
  if (!viewers.has(root)) viewers.set(root, new Viewer(root));
  const viewer = viewers.get(root);
  try {
    await viewer.open(data);
  } catch (error) {
    viewer.fail(error);
    throw error;
  }
}
