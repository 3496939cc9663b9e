// The viewer itself: what is shown (`view`), how a person changes it, and the pictures and texts that follow from it.

const ADDRESS_AFTER_MS = 300;
const NOTCH = 100; // pixels that a wheel's notch scrolls, at least half of them: one slice; a touchpad's steps add up
const APART_MM = 10; // between two slices that are shown one after the other for their errors
const CLOSEST = 16;
const LOWEST = 420; // CSS pixels that the planes have at least, however low the window
const SOLID = "3d";
const percent = (share) => (share === null ? "–" : `${(100 * share).toFixed(2)} %`);

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

  /** Listen to the window until the viewer has left the page: who listens is kept, with all voxels that he holds. */
  #listenToWindow() {
    this.listening?.abort();
    this.listening = new AbortController();
    const { signal } = this.listening;
    const here = (does) => (event) => (this.root.isConnected ? does(event) : this.listening.abort());
    window.addEventListener("resize", here(() => this.#fit()), { signal });
    // Before the page's own keys: for Streamlit, R runs the page again.
    window.addEventListener("keydown", here((event) => this.#press(event)), { signal, capture: true });
    window.addEventListener("pointerdown", here(() => null), { signal, capture: true }); // so that it is noticed soon
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
    this.#listenToWindow();
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
    const usual = { level: 40, width: 400, show: "both", manner: "fill", opacity: OPACITY, version: 0, alone: null };
    this.view = {
      ...(last ?? { ...usual, turn: [...FRONT], closer: 1 }),
      ...{ header, shape, spacing, organs, scan, truth, models, tallies, hidden: false, swapped: 0, surfaces: new Map() },
    };
    if (last?.header.scan !== header.scan) {
      this.view.at = PLANES.map(({ axis }) => tallies[0].telling(axis));
      Object.assign(this.view, { zoom: 1, centre: middleOf(shape) });
    }
    const same = last && String(last.organs.map(({ id }) => id)) === String(ids);
    if (!same) this.view.shown = organs.map(() => true);
    this.#offerTools();
    if (!last) this.#followAddress();
    this.#offerOrgans();
    this.#makeCells();
    this.#look();
  }

  #followAddress() {
    const { view } = this;
    const told = readAddress();
    view.at = view.at.map((start, axis) => (told.at[axis] ? clamp(Math.round(told.at[axis]) - 1, view.shape[axis]) : start));
    const { window, centre, turn } = told;
    if (window.length === 2 && window.every(Number.isFinite) && window[1] > 0) [view.level, view.width] = window;
    if (this.offered.includes(told.show)) view.show = told.show;
    if (["fill", "outline"].includes(told.manner)) view.manner = told.manner;
    if (told.opacity >= 0 && told.opacity <= 1) view.opacity = told.opacity;
    if (told.zoom >= 1 && told.zoom <= CLOSEST) view.zoom = told.zoom;
    if (told.closer >= 1 && told.closer <= CLOSEST) view.closer = told.closer;
    if (centre.length === 3 && centre.every(Number.isFinite)) view.centre = centre.map((at, axis) => within(at, view.shape[axis]));
    if (turn.length === 2 && turn.every(Number.isFinite)) view.turn = turn;
    if ([SOLID, ...PLANES.map(({ name }) => name.toLowerCase())].includes(told.alone)) view.alone = told.alone;
    view.shown = view.organs.map(({ id }) => !told.off.includes(id));
    const organ = view.organs.findIndex(({ name }) => name === told.organ);
    if (organ >= 0) this.#isolate(organ);
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
    field("reset").onclick = () => this.#reset();
    field("save").onclick = () => this.#save();
    field("help").onclick = () => this.#help();
  }

  #help() {
    const dialog = this.root.querySelector("dialog");
    if (dialog.open) return dialog.close();
    const close = make("button", { type: "button" }, "Close");
    close.onclick = () => dialog.close();
    dialog.replaceChildren(helpOf(), close);
    dialog.showModal();
  }

  /** What can be shown depends on the label maps that the case has. */
  #offerTools() {
    const { view } = this;
    const predicted = view.models[0] !== null;
    const offered = [view.truth && predicted && "both", view.truth && "truth", predicted && "prediction"];
    offered.push(view.truth && predicted && "difference", "none");
    this.offered = offered.filter(Boolean);
    this.field("show").replaceChildren(...this.offered.map((name) => make("option", { value: name }, SHOWN[name])));
    if (!this.offered.includes(view.show)) view.show = this.offered[0];
  }

  /** A line for each organ: shown or not, its name, the Dice of each model, ml of the truth or else the prediction. */
  #offerOrgans() {
    const { view } = this;
    const paired = view.tallies[0].paired;
    const dices = paired ? view.tallies.map((_, number) => (view.tallies.length > 1 ? `Dice ${number + 1}` : "Dice")) : [];
    const heads = ["", "", ...dices, "ml"].map((text) => make("th", {}, text));
    heads.at(-1).title = view.truth ? "Volume in the truth, ml" : "Volume in the prediction, ml";
    const lines = view.organs.map((organ, number) => this.#organ(organ, number, paired));
    this.root.querySelector(".organs thead").replaceChildren(make("tr", {}, ...heads));
    this.root.querySelector(".organs tbody").replaceChildren(...lines);
  }

  #organ({ id, name, colour }, number, paired) {
    const { view } = this;
    const titled = { type: "button", title: `Show or hide ${name}`, "aria-label": `Show ${name}`, "data-testid": `organ-${id}` };
    const button = make("button", titled, chip(colour));
    const alone = make("button", { type: "button", "data-testid": `isolate-${id}` }, name);
    button.disabled = alone.disabled = !view.tallies.some((tally) => tally.has(number));
    if (button.disabled) button.title = alone.title = "In no label map of this case";
    button.onclick = () => ((view.shown[number] = !view.shown[number]), this.#look());
    alone.onclick = () => (this.#isolate(number), this.#look());
    const dice = paired ? view.tallies.map((tally) => percent(tally.ofOrgan(number)).replace(" %", "")) : [];
    const { truth, predicted } = view.tallies[0].voxels(number);
    const ml = ((view.truth ? truth : predicted) * view.spacing.reduce((all, mm) => all * mm, 1)) / 1000;
    const cells = [button, alone, ...dice, ml.toFixed(1)].map((content) => make("td", {}, content));
    return make("tr", { "data-testid": `line-${id}` }, ...cells);
  }

  #isAlone(number) {
    return this.view.shown.every((shown, other) => shown === (other === number));
  }

  /** That organ alone, with the crosshair in the midst of its largest error; all of them where it is alone already. */
  #isolate(number) {
    const { view } = this;
    if (this.#isAlone(number)) return view.shown.fill(true);
    view.shown = view.organs.map((_, other) => other === number);
    const [tally] = view.tallies;
    const wrong = tally.wrong(0, view.shown);
    const depth = wrong.indexOf(Math.max(...wrong));
    const place = wrong[depth] ? amidstErrors(view.truth, view.models[0], view.shape, depth, view.organs[number].id) : null;
    if (place) view.at = [depth, ...place];
    else view.at = PLANES.map(({ axis }) => tally.largest(axis, number) ?? view.at[axis]);
    this.#bringIntoSight();
  }

  // --- cells --------------------------------------------------------------------------------------------------

  #makeCells() {
    this.rows = this.view.models.map((_, number) => {
      const panels = PLANES.map((plane) => this.#makePanel(plane, number));
      return { panels };
    });
    this.solid = this.#makeSolid();
    const cells = this.rows.flatMap(({ panels }) => panels.map(({ cell }) => cell));
    this.root.querySelector(".grid").replaceChildren(...cells, this.solid.cell);
  }

  #makePanel(plane, number) {
    const name = plane.name.toLowerCase();
    const suffix = number ? `-${number + 1}` : "";
    const tested = (part) => ({ "data-testid": `${part}${name}${suffix}` });
    const label = `${plane.name} plane of ${this.view.header.title}`;
    const canvas = make("canvas", { tabindex: "0", role: "img", "aria-label": label, ...tested("") });
    const panel = new Panel(plane, canvas);
    panel.row = number;
    panel.title = make("span", { class: "name", ...tested("model-") });
    panel.slice = make("span", tested("slice-"));
    panel.dice = make("span", tested("dice-"));
    panel.readout = make("p", { class: "readout", ...tested("readout-") });
    const worst = { type: "button", title: `Next ${name} slice by its wrong voxels, the worst first (N)`, ...tested("worst-") };
    panel.worst = make("button", worst, "Worst");
    panel.worst.onclick = () => this.#nextWorst(panel);
    panel.strip = make("canvas", { class: "strip", title: "Wrong voxels of each slice", ...tested("strip-") });
    panel.strip.onclick = ({ offsetX, target }) =>
      this.#goTo(plane.axis, Math.floor((offsetX / target.clientWidth) * this.view.shape[plane.axis]));
    panel.slider = make("input", { type: "range", min: "1", "aria-label": `${plane.name} slice`, ...tested("slider-") });
    panel.slider.oninput = () => this.#goTo(plane.axis, panel.slider.value - 1);
    const texts = make("div", {}, panel.title, panel.slice, panel.dice, panel.worst);
    panel.cell = make("div", { class: "cell" }, texts, canvas, panel.readout, panel.strip, panel.slider);
    this.#listen(panel);
    return panel;
  }

  #listen(panel) {
    const { canvas } = panel;
    canvas.addEventListener("wheel", (event) => this.#scroll(event, panel), { passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("dblclick", () => this.#maximise(panel.plane.name.toLowerCase()));
    canvas.addEventListener("pointerenter", () => (this.under = panel));
    canvas.addEventListener("pointerleave", () => (panel.readout.textContent = ""));
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      const drags = [(moved) => this.#point(moved, panel), this.#panning(event, panel), this.#windowing(event)];
      panel.dragged = drags[event.button] ?? drags[0];
      if (event.button === 1) event.preventDefault(); // the browser's own scrolling
      panel.dragged(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      this.#read(event, panel);
      if (event.buttons) panel.dragged?.(event);
    });
    canvas.addEventListener("pointerup", () => (panel.dragged = null));
  }

  #makeSolid() {
    const canvas = make("canvas", { tabindex: "0", role: "img", "aria-label": "Organs in 3D", "data-testid": SOLID });
    const solid = new Solid(canvas);
    solid.title = make("span", { class: "name", "data-testid": "model-3d" });
    solid.cell = make("div", { class: "cell" }, make("div", {}, solid.title), canvas);
    canvas.addEventListener("dblclick", () => this.#maximise(SOLID));
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      const [yaw, pitch] = this.view.turn;
      solid.dragged = ({ clientX, clientY }) => {
        const tipped = pitch + (clientY - event.clientY) / 100;
        this.view.turn = [yaw + (clientX - event.clientX) / 100, Math.min(1.5, Math.max(-1.5, tipped))];
        this.#draw();
      };
    });
    canvas.addEventListener("pointermove", (event) => event.buttons && solid.dragged?.(event));
    canvas.addEventListener("pointerup", () => (solid.dragged = null));
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.view.closer = Math.min(CLOSEST, Math.max(1, this.view.closer * zoomOf(event)));
        this.#draw();
      },
      { passive: false },
    );
    return solid;
  }

  #maximise(name) {
    this.view.alone = this.view.alone === name ? null : name;
    this.#fit();
  }

  #reset() {
    Object.assign(this.view, { zoom: 1, centre: middleOf(this.view.shape), alone: null, turn: [...FRONT], closer: 1 });
    this.#fit();
  }

  #scroll(event, panel) {
    event.preventDefault();
    if (event.ctrlKey) return this.#zoom(event, panel);
    const { axis } = panel.plane;
    const pixels = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? event.deltaY : event.deltaY * (NOTCH / 3);
    this.wheel = Math.abs(pixels) < NOTCH / 2 ? this.wheel + 2 * pixels : NOTCH * Math.sign(pixels);
    const steps = Math.trunc(this.wheel / NOTCH);
    this.wheel -= steps * NOTCH;
    this.#goTo(axis, this.view.at[axis] - steps);
  }

  /** What lies under the pointer stays there. */
  #zoom(event, panel) {
    const { view } = this;
    const { rows, columns } = panel.plane;
    const zoom = Math.min(CLOSEST, Math.max(1, view.zoom * zoomOf(event)));
    const away = { [columns]: event.offsetX - panel.width / 2, [rows]: event.offsetY - panel.height / 2 };
    for (const axis of [rows, columns]) {
      const pixels = (at) => view.spacing[axis] * panel.scale * at;
      view.centre[axis] = within(view.centre[axis] - away[axis] / pixels(view.zoom) + away[axis] / pixels(zoom), view.shape[axis]);
    }
    view.zoom = zoom;
    const { axis } = panel.plane;
    if (zoom === 1) view.centre = middleOf(view.shape);
    else view.centre[axis] = view.at[axis] + 0.5; // the other planes show the slice that is zoomed into
    this.#draw();
  }

  #panning({ clientX, clientY }, panel) {
    const { rows, columns } = panel.plane;
    const start = [...this.view.centre];
    return (moved) => {
      const { view } = this;
      const by = { [columns]: moved.clientX - clientX, [rows]: moved.clientY - clientY };
      for (const axis of [rows, columns]) {
        view.centre[axis] = within(start[axis] + by[axis] / (view.spacing[axis] * panel.scale * view.zoom), view.shape[axis]);
      }
      this.#draw();
    };
  }

  #press(event) {
    if (isTyped(event) || event.ctrlKey || event.altKey || event.metaKey) return;
    const panel = this.rows.flatMap(({ panels }) => panels).find((each) => each === this.under) ?? this.rows[0].panels[0];
    const { axis, rows, columns } = panel.plane;
    const { at } = this.view;
    const go = (along, steps) => () => this.#goTo(along, at[along] + steps);
    const does = {
      ...{ PageUp: go(axis, 1), PageDown: go(axis, -1) },
      ...{ ArrowUp: go(rows, 1), ArrowDown: go(rows, -1), ArrowLeft: go(columns, 1), ArrowRight: go(columns, -1) },
      ...{ r: () => this.#reset(), n: () => this.#nextWorst(panel), " ": () => this.#flicker(), "?": () => this.#help() },
      Escape: this.view.alone && (() => this.#maximise(this.view.alone)),
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!does) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    does();
  }

  /** Two models change places, so that what differs jumps to the eye; the labels of one go and come. */
  #flicker() {
    const { view } = this;
    if (view.models.length > 1) view.swapped = 1 - view.swapped;
    else view.hidden = !view.hidden;
    this.#look();
  }

  #nextWorst(panel) {
    const { view } = this;
    const { axis } = panel.plane;
    const apart = Math.max(1, Math.ceil(APART_MM / view.spacing[axis]));
    const order = worstFirst(view.tallies[this.#model(panel.row)].wrong(axis, view.shown), apart);
    this.#goTo(axis, order[(order.indexOf(view.at[axis]) + 1) % order.length]);
  }

  /** A model's name, where the title does not say whose the labels are: of two, and of one in another's place. */
  #nameOf(model) {
    const { named, predictions } = this.view.header;
    if (!named || !predictions.length) return "";
    return predictions.length > 1 ? `${model + 1} ${predictions[model]}` : predictions[model];
  }

  /** The model that a row shows. */
  #model(row) {
    return (row + this.view.swapped) % this.view.models.length;
  }

  #point({ offsetX, offsetY }, panel) {
    const { rows, columns } = panel.plane;
    [this.view.at[rows], this.view.at[columns]] = panel.voxelAt(offsetX, offsetY, this.view);
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
    if (index === undefined) return;
    this.view.at[axis] = clamp(index, this.view.shape[axis]);
    this.#bringIntoSight();
    this.#draw();
  }

  /** Where the picture is zoomed it follows a crosshair that leaves the middle half of what is seen. */
  #bringIntoSight() {
    const { view } = this;
    if (view.zoom === 1) return;
    view.centre = view.centre.map((centre, axis) => {
      const seen = view.shape[axis] / view.zoom / 2;
      return Math.abs(view.at[axis] + 0.5 - centre) > seen ? view.at[axis] + 0.5 : centre;
    });
  }

  /** Where the pointer is, in the patient's directions and mm, and what is there. */
  #read({ offsetX, offsetY }, panel) {
    const { view } = this;
    const voxel = [...view.at];
    const { rows, columns } = panel.plane;
    [voxel[rows], voxel[columns]] = panel.voxelAt(offsetX, offsetY, view);
    const [d, h, w] = voxel;
    const at = (d * view.shape[1] + h) * view.shape[2] + w;
    const mm = view.header.affine.map(([x, y, z, start]) => x * w + y * h + z * d + start);
    const place = ["LR", "PA", "IS"].map((ends, axis) => `${ends[mm[axis] < 0 ? 0 : 1]} ${Math.abs(mm[axis]).toFixed(1)}`);
    const named = (id) => view.organs.find((organ) => organ.id === id)?.name ?? "–";
    const predicted = view.models[this.#model(panel.row)];
    const told = [`${place.join("  ")} mm`, `${Math.round(view.header.hu[view.scan[at]])} HU`];
    if (view.truth) told.push(`truth ${named(view.truth[at])}`);
    if (predicted) told.push(`prediction ${named(predicted[at])}`);
    panel.readout.textContent = told.join(" · ");
  }

  // --- pictures and texts -------------------------------------------------------------------------------------

  /** The planes fill what is left of the window, all with one scale: two by two with the organs in 3D, or a row a model. */
  #fit() {
    const { root, view } = this;
    const two = view.models.length > 1;
    const grid = root.querySelector(".grid");
    const above = grid.getBoundingClientRect().top + this.#scrolled();
    const room = Math.max(LOWEST, window.innerHeight - above - GAP);
    const [across, down] = view.alone ? [two && view.alone !== SOLID ? 2 : 1, 1] : two ? [3, 2] : [2, 2];
    root.querySelector(".organs").style.height = `${room}px`;
    grid.style.gridTemplateColumns = `repeat(${across}, minmax(0, 1fr))`;
    const width = Math.floor((grid.clientWidth - (across - 1) * GAP) / across);
    const height = Math.floor((room - (down - 1) * GAP) / down);
    const panels = this.rows.flatMap((row) => row.panels);
    const isShown = (name) => (view.alone ? view.alone === name : true);
    for (const panel of panels) panel.cell.hidden = !isShown(panel.plane.name.toLowerCase());
    this.solid.cell.hidden = view.alone ? view.alone !== SOLID : two;
    const mm = view.shape.map((length, axis) => length * view.spacing[axis]);
    const [wide, high] = [Math.max(1, width), Math.max(1, height - CAPTIONS)];
    const seen = panels.filter(({ cell }) => !cell.hidden);
    const scale = Math.min(...seen.map(({ plane }) => Math.min(wide / mm[plane.columns], high / mm[plane.rows])));
    for (const panel of seen) panel.resize(wide, high, scale);
    this.solid.resize(wide, Math.max(1, height - TITLE));
    this.#draw();
  }

  /** Pixels that the page is scrolled by: Streamlit scrolls an element of its own. */
  #scrolled() {
    let [node, sum] = [this.root.getRootNode().host ?? this.root, 0];
    for (; node; node = node.parentElement) sum += node.scrollTop ?? 0;
    return sum;
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
    const values = { preset: preset ?? "Free", level, width, show, manner, opacity: Math.round(100 * view.opacity) };
    for (const [name, value] of Object.entries(values)) field(name).value = value;
    view.organs.forEach(({ id }, number) => {
      this.root.querySelector(`[data-testid="organ-${id}"]`).setAttribute("aria-pressed", view.shown[number]);
      this.root.querySelector(`[data-testid="line-${id}"]`).dataset.alone = this.#isAlone(number);
    });
    this.root.querySelector(".legend").replaceChildren(...legend(view));
    this.#draw();
  }

  /** Draw before the next frame, however many events come until then. */
  #draw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.rows.forEach((row, number) => this.#drawRow(row, this.#model(number)));
      if (!this.solid.cell.hidden) this.#drawSolid();
    });
    clearTimeout(this.pending);
    this.pending = setTimeout(() => this.root.isConnected && writeAddress(this.view), ADDRESS_AFTER_MS);
  }

  #drawRow(row, model) {
    const { view } = this;
    const tally = view.tallies[model];
    const name = view.header.predictions[model] ?? "";
    row.name = [name, tally.paired && `Dice of the organs shown ${percent(tally.total(view.shown))}`].filter(Boolean).join(" · ");
    for (const panel of row.panels.filter(({ cell }) => !cell.hidden)) {
      const { axis } = panel.plane;
      const dice = percent(tally.dice(axis, view.at[axis], view.shown));
      panel.draw(view, view.scan, (cut) => layersOf(view, model, cut));
      panel.title.textContent = this.#nameOf(model);
      panel.title.title = row.name;
      panel.slice.textContent = `${panel.plane.name} ${view.at[axis] + 1}/${view.shape[axis]}`;
      panel.dice.textContent = tally.paired ? `Dice ${dice}` : "";
      panel.dice.title = "Of the organs shown in this slice, all their voxels together";
      panel.worst.hidden = panel.strip.hidden = !tally.paired;
      panel.slider.max = view.shape[axis];
      panel.slider.value = view.at[axis] + 1;
      panel.caption = [panel.slice.textContent, tally.paired && `Dice ${dice}`].filter(Boolean).join(" · ");
      if (tally.paired) this.#drawStrip(panel, tally, model);
    }
  }

  /** Bars of the wrong voxels over the slider, the tallest as high as the strip. */
  #drawStrip(panel, tally, model) {
    const { view } = this;
    const key = `${view.version} ${model} ${panel.width}`;
    if (panel.stripped === key) return;
    panel.stripped = key;
    const { strip, plane } = panel;
    const wrong = tally.wrong(plane.axis, view.shown);
    const most = Math.max(...wrong, 1);
    [strip.width, strip.height] = [panel.width, STRIP];
    const drawn = strip.getContext("2d");
    drawn.fillStyle = `rgb(${DIFFERENCES[0].colour})`;
    const step = panel.width / wrong.length;
    wrong.forEach((count, at) => drawn.fillRect(at * step, STRIP - (STRIP * count) / most, Math.max(1, step - 0.5), STRIP));
  }

  #drawSolid() {
    const { view, solid } = this;
    const ofTruth = view.truth && (view.show === "truth" || !view.models[0]);
    const model = this.#model(0);
    const predicted = ["prediction", this.#nameOf(model)].filter(Boolean).join(" ");
    const [name, labels] = ofTruth ? ["truth", view.truth] : [predicted, view.models[model]];
    solid.title.textContent = labels ? `3D · ${name} · drag turns, wheel zooms` : "3D · no label map";
    if (!labels) return;
    if (!view.surfaces.has(labels)) view.surfaces.set(labels, new Surface(labels, view.shape, view.spacing));
    solid.draw(view.surfaces.get(labels), view);
  }

  #save() {
    const { view, rows } = this;
    const labelled = (number) => view.tallies.some((tally) => tally.has(number));
    const organs = view.organs.filter((_, number) => view.shown[number] && labelled(number));
    const entries = view.show === "difference" ? DIFFERENCES : view.show === "none" ? [] : organs;
    const window = `window ${view.level}/${view.width} HU · ${SHOWN[view.show]}`;
    const named = rows
      .map(({ name, panels }) => ({ name, panels: panels.filter(({ cell }) => !cell.hidden) }))
      .filter(({ panels }) => panels.length);
    const list = entries.map(({ name, colour }) => ({ text: name, colour }));
    if (!this.solid.cell.hidden) {
      const { canvas, width, height, title } = this.solid;
      named[0] ??= { name: view.header.title, panels: [] };
      named[0].panels = [...named[0].panels, { canvas, width, height, caption: title.textContent.split(" · ").slice(0, 2).join(" · ") }];
    }
    savePicture(view.header.title, `${view.header.title} · ${window}`, named, list);
  }
}

const TITLE = 22; // height in CSS pixels of a cell's line of text, as in viewer.css
const STRIP = 10; // of the bars of errors
const CAPTIONS = TITLE + STRIP + 12; // with the slider
const clamp = (index, length) => Math.min(length - 1, Math.max(0, index));
const within = (place, length) => Math.min(length, Math.max(0, place));
const zoomOf = ({ deltaY, deltaMode }) => 1.2 ** (-deltaY / (deltaMode === WheelEvent.DOM_DELTA_PIXEL ? NOTCH : 3));

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
