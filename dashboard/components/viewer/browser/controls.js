// Elements of the page that the viewer makes, and the address that says what it shows.

const WINDOWS = { Abdomen: [40, 400], "Soft tissue": [50, 350], Lung: [-600, 1500], Bone: [400, 1800] }; // level, width

const SHOWN = {
  both: "truth and prediction", truth: "truth", prediction: "prediction", difference: "difference", none: "nothing",
};

const HELP = {
  "Wheel, Page Up and Down": "slices of the plane under the pointer",
  "Click, drag, arrow keys": "crosshair",
  "Ctrl and wheel": "zoom at the pointer",
  "Drag with the middle button": "move the picture",
  "Drag with the right button": "window: across its width, down its level",
  "Double click": "one plane alone, and back (Esc)",
  N: "next slice of this plane by its wrong voxels, the worst first",
  Space: "two models: change their places; one: labels off and on",
  R: "the whole scan again",
  "?": "this list",
  "Name of an organ": "that organ alone, at its largest error",
  "Bars over a slider": "wrong voxels of each slice",
};

/** An element with attributes and children; texts are texts, never markup. */
function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function chip(colour) {
  const made = make("span", { class: "chip" });
  made.style.background = `rgb(${colour})`;
  return made;
}

function helpOf() {
  return make("dl", {}, ...Object.entries(HELP).flatMap(([keys, does]) => [make("dt", {}, keys), make("dd", {}, does)]));
}

/** Is a key meant for a field that takes keys itself? A button takes Space and Enter. */
function isTyped(event) {
  const [target] = event.composedPath();
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || ["TEXTAREA", "SELECT"].includes(target.tagName)) return true;
  if (target.tagName === "INPUT") return true;
  return target.closest("button, a, [role=combobox], [role=dialog]") !== null && [" ", "Enter"].includes(event.key);
}

/** What the address says; places count from 1, as on the page. */
function readAddress() {
  const address = new URLSearchParams(location.search);
  const numbers = (name) => (address.get(name) ?? "").split(",").filter(Boolean).map(Number);
  const words = ["show", "manner", "alone", "organ"];
  return {
    at: PLANES.map(({ letter }) => Number(address.get(letter)) || null),
    ...Object.fromEntries(["window", "off", "centre", "turn"].map((name) => [name, numbers(name)])),
    ...Object.fromEntries(["zoom", "closer", "opacity"].map((name) => [name, numbers(name)[0]])),
    ...Object.fromEntries(words.map((name) => [name, address.get(name)])),
  };
}

/**
 * Say in the address what is shown. The server is not asked: it reads the address when the page is next drawn,
 * and a scroll through the slices never draws it.
 */
function writeAddress(view) {
  const address = new URLSearchParams(location.search);
  const tell = (name, value, usual) => (value === usual ? address.delete(name) : address.set(name, value));
  const short = (numbers) => numbers.map((number) => Number(number.toFixed(2))).join();
  PLANES.forEach(({ axis, letter }) => address.set(letter, view.at[axis] + 1));
  address.set("window", `${view.level},${view.width}`);
  address.set("show", view.show);
  tell("manner", view.manner, "fill");
  tell("opacity", short([view.opacity]), short([OPACITY]));
  tell("zoom", short([view.zoom]), "1");
  tell("centre", short(view.centre), short(middleOf(view.shape)));
  tell("turn", short(view.turn), short(FRONT));
  tell("closer", short([view.closer]), "1");
  tell("alone", view.alone ?? "", "");
  tell("off", view.organs.filter((_, number) => !view.shown[number]).map(({ id }) => id).join(), "");
  address.delete("organ"); // where a link leads first; what is shown since stands in the rest
  history.replaceState(history.state, "", `${location.pathname}?${address}${location.hash}`);
}

const OPACITY = 0.4;
const middleOf = (shape) => shape.map((length) => length / 2);
