// Elements of the page that the viewer makes, and the address that says what it shows.

const WINDOWS = { Abdomen: [40, 400], "Soft tissue": [50, 350], Lung: [-600, 1500], Bone: [400, 1800] }; // level, width

const SHOWN = {
  both: "truth and prediction", truth: "truth", prediction: "prediction", difference: "difference", none: "nothing",
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

/** What the address says: crosshair (counted from 1, as on the page), window, what is shown, organs that are off. */
function readAddress() {
  const address = new URLSearchParams(location.search);
  const numbers = (name) => (address.get(name) ?? "").split(",").filter(Boolean).map(Number);
  const at = PLANES.map(({ letter }) => Number(address.get(letter)) || null);
  return { at, window: numbers("window"), show: address.get("show"), off: numbers("off") };
}

/**
 * Say in the address what is shown. The server is not asked: it reads the address when the page is next drawn,
 * and a scroll through the slices never draws it.
 */
function writeAddress(view) {
  const address = new URLSearchParams(location.search);
  PLANES.forEach(({ axis, letter }) => address.set(letter, view.at[axis] + 1));
  address.set("window", `${view.level},${view.width}`);
  address.set("show", view.show);
  const off = view.organs.filter((_, number) => !view.shown[number]).map(({ id }) => id);
  if (off.length) address.set("off", off);
  else address.delete("off");
  history.replaceState(history.state, "", `${location.pathname}?${address}${location.hash}`);
}
