// How many voxels of each organ truth and prediction have, slice by slice of every plane, and what follows from it.

/** Counts of one label map, or of a pair: per axis, slice and organ the voxels of truth, prediction and both. */
class Tally {
  /** `truth` and `predicted`: Uint8Array or null; `organs`: class ids in the order of the counts. */
  constructor(truth, predicted, shape, organs) {
    this.shape = shape;
    this.organs = organs.length;
    this.paired = Boolean(truth && predicted);
    const empty = () => shape.map((length) => new Uint32Array(length * this.organs));
    [this.truth, this.predicted, this.both] = [empty(), empty(), empty()];
    const place = new Int16Array(256).fill(-1); // of a class id among the organs
    organs.forEach((id, number) => (place[id] = number));
    const voxels = truth ?? predicted;
    if (voxels) this.#count(truth ?? new Uint8Array(voxels.length), predicted ?? new Uint8Array(voxels.length), place);
  }

  #count(truth, predicted, place) {
    const words = Math.ceil(truth.length / 4);
    const [truth4, predicted4] = [truth, predicted].map((map) =>
      map.buffer.byteLength === 4 * words ? new Uint32Array(map.buffer) : null,
    );
    for (let word = 0; word < words; word++) {
      if (truth4 && predicted4 && !(truth4[word] | predicted4[word])) continue; // most of a scan has no label
      for (let i = 4 * word, end = Math.min(i + 4, truth.length); i < end; i++) {
        if (truth[i] | predicted[i]) this.#add(i, place[truth[i]], place[predicted[i]]);
      }
    }
  }

  #add(i, inTruth, inPrediction) {
    const row = Math.floor(i / this.shape[2]);
    this.#addTo(0, Math.floor(row / this.shape[1]), inTruth, inPrediction);
    this.#addTo(1, row % this.shape[1], inTruth, inPrediction);
    this.#addTo(2, i % this.shape[2], inTruth, inPrediction);
  }

  #addTo(axis, index, inTruth, inPrediction) {
    const first = index * this.organs;
    if (inTruth >= 0) this.truth[axis][first + inTruth]++;
    if (inPrediction >= 0) this.predicted[axis][first + inPrediction]++;
    if (inTruth >= 0 && inTruth === inPrediction) this.both[axis][first + inTruth]++;
  }

  /** Voxels of the shown organs in one slice: `{ labelled, both }`, labelled being truth plus prediction. */
  slice(axis, index, shown) {
    let [labelled, both] = [0, 0];
    for (let organ = 0, at = index * this.organs; organ < this.organs; organ++, at++) {
      if (!shown[organ]) continue;
      labelled += this.truth[axis][at] + this.predicted[axis][at];
      both += this.both[axis][at];
    }
    return { labelled, both };
  }

  /** Dice of the shown organs in one slice, all their voxels together; null where none is labelled. */
  dice(axis, index, shown) {
    const { labelled, both } = this.slice(axis, index, shown);
    return this.paired && labelled ? (2 * both) / labelled : null;
  }

  /** Dice of the shown organs in the whole case; null where none is labelled. */
  total(shown) {
    let [labelled, both] = [0, 0];
    for (let index = 0; index < this.shape[0]; index++) {
      const slice = this.slice(0, index, shown);
      labelled += slice.labelled;
      both += slice.both;
    }
    return this.paired && labelled ? (2 * both) / labelled : null;
  }

  /** The slice that has most of an organ; null where it is nowhere. */
  largest(axis, organ) {
    const counts = this.truth[axis].some((count, at) => count && at % this.organs === organ) ? this.truth : this.predicted;
    const areas = counts[axis].filter((_, at) => at % this.organs === organ);
    const most = Math.max(...areas);
    return most ? areas.indexOf(most) : null;
  }

  /** Dice of one organ in the whole case; null where it is in neither label map. */
  ofOrgan(organ) {
    const { truth, predicted, both } = this.voxels(organ);
    return this.paired && truth + predicted ? (2 * both) / (truth + predicted) : null;
  }

  /** Whether any voxel is labelled as this organ. */
  has(organ) {
    const labelled = (counts) => counts.some((count, at) => count && at % this.organs === organ);
    return labelled(this.truth[0]) || labelled(this.predicted[0]);
  }

  /** Of each slice the voxels that are wrong: missed and extra ones of each organ shown, one taken for another twice. */
  wrong(axis, shown) {
    return Float64Array.from({ length: this.shape[axis] }, (_, index) => {
      const { labelled, both } = this.slice(axis, index, shown);
      return this.paired ? labelled - 2 * both : 0;
    });
  }

  /** Voxels of an organ in the whole case: `{ truth, predicted, both }`. */
  voxels(organ) {
    const sum = (counts) => counts.reduce((all, count, at) => (at % this.organs === organ ? all + count : all), 0);
    return { truth: sum(this.truth[0]), predicted: sum(this.predicted[0]), both: sum(this.both[0]) };
  }

  /** The slice that shows most of most organs: the largest sum over organs of area / largest area. */
  telling(axis) {
    const counts = this.truth[0].some(Boolean) ? this.truth[axis] : this.predicted[axis];
    const largest = new Uint32Array(this.organs).fill(1);
    counts.forEach((count, at) => (largest[at % this.organs] = Math.max(largest[at % this.organs], count)));
    const sums = new Float64Array(this.shape[axis]);
    counts.forEach((count, at) => (sums[Math.floor(at / this.organs)] += count / largest[at % this.organs]));
    const best = sums.indexOf(Math.max(...sums));
    return sums[best] > 0 ? best : Math.floor(this.shape[axis] / 2);
  }
}

/**
 * Slices in the order in which their errors are to be looked at: the one with the most wrong voxels, then the worst of
 * those that lie `apart` slices or more from all before it. Without an error there is none.
 */
function worstFirst(wrong, apart) {
  const found = [];
  const order = Array.from(wrong.keys()).sort((one, other) => wrong[other] - wrong[one] || one - other);
  for (const index of order) {
    if (wrong[index] && found.every((other) => Math.abs(other - index) >= apart)) found.push(index);
  }
  return found;
}

/** A voxel in the midst of what is wrong of one organ in an axial slice: its row and column, null without any. */
function amidstErrors(truth, predicted, [, height, width], slice, id) {
  const first = slice * height * width;
  const columnsOf = Array.from({ length: height }, () => []);
  for (let i = 0; i < height * width; i++) {
    if ((truth[first + i] === id) !== (predicted[first + i] === id)) columnsOf[Math.floor(i / width)].push(i % width);
  }
  const most = Math.max(...columnsOf.map((columns) => columns.length));
  const row = columnsOf.findIndex((columns) => columns.length === most);
  return most ? [row, columnsOf[row][Math.floor(most / 2)]] : null;
}
