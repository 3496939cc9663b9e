// What lies over a slice of the scan: truth, prediction, or what tells one from the other.

// Okabe and Ito's colours, told apart by colour-blind readers. What agrees is faded: it is not what one looks for.
const DIFFERENCES = [
  { name: "missed (truth only)", colour: [213, 94, 0] },
  { name: "extra (prediction only)", colour: [86, 180, 233] },
  { name: "another organ (both, not the same)", colour: [240, 228, 66] },
  { name: "agreed", colour: [0, 158, 115], faded: true },
];

/** Per pixel 0 or 1 + the place in DIFFERENCES; in `truth` and `predicted`, 0 is what is not shown. */
function differences(truth, predicted) {
  const found = new Uint8Array(truth.length);
  for (let i = 0; i < found.length; i++) {
    const [inTruth, inPrediction] = [truth[i], predicted[i]];
    if (inTruth === inPrediction) found[i] = inTruth ? 4 : 0;
    else if (inTruth && inPrediction) found[i] = 3;
    else found[i] = inTruth ? 1 : 2;
  }
  return found;
}

/** What lies over a slice of the scan; `cut` gives a label map's slice with other ids. */
function layersOf(view, model, cut) {
  const organs = [null, ...view.organs.map(({ colour }) => colour)];
  const seen = (voxels) => cut(voxels, view.lookup);
  const layer = (voxels, manner, dashed = false) => ({ labels: seen(voxels), colours: organs, manner, dashed });
  const predicted = view.models[model];
  if (view.hidden) return [];
  if (view.show === "truth") return [layer(view.truth, view.manner)];
  if (view.show === "prediction") return [layer(predicted, view.manner)];
  if (view.show === "both") return [layer(predicted, view.manner, true), layer(view.truth, "outline")];
  if (view.show === "none") return [];
  const colours = [null, ...DIFFERENCES.map(({ colour }) => colour)];
  const faded = [null, ...DIFFERENCES.map(({ faded }) => faded)];
  const labels = differences(seen(view.truth), seen(predicted));
  return [{ labels, colours, faded, manner: view.manner, dashed: false }];
}

/** What colours and lines mean, and Dice where there is one. */
function legend(view) {
  const entry = ({ name, colour }) => make("span", {}, chip(colour), name);
  const told = view.show === "difference" ? DIFFERENCES.map(entry) : [];
  const lines = view.manner === "fill" ? "Truth: line. Prediction: filled." : "Truth: whole line. Prediction: dashed line.";
  if (view.show === "both") told.push(make("span", {}, lines));
  if (view.tallies[0].paired) told.push(make("span", {}, "Dice: over the organs shown, all their voxels together."));
  return told;
}
