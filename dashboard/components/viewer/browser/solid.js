// Organs in 3D, turned by hand: the voxels at their surfaces as shaded squares, to look at and not to measure.
//
// A label map has some hundred thousand of them at 2.5 mm; drawing that many squares takes any browser milliseconds,
// with a graphics card or without.

const FINEST_MM = 2.5;
const REACH = 2; // coarse voxels around one that tell which way its surface looks
const SHADES = 32;
const LIGHT = [0.25, 0.85, 0.46]; // towards x (right), y (anterior), z (superior), of length 1
const FRONT = [0, 0]; // turned about the body's axis, and tipped, in radians

/** The voxels at the organs' surfaces: of each its id, its place in mm from their middle, and where it looks. */
class Surface {
  constructor(labels, shape, spacing) {
    const coarse = coarsened(labels, shape, spacing);
    this.steps = coarse.steps;
    const found = surfaceVoxels(coarse);
    this.ids = Uint8Array.from(found, (at) => coarse.ids[at]);
    this.places = new Float32Array(3 * found.length); // x, y, z
    this.normals = new Float32Array(3 * found.length);
    found.forEach((at, number) => this.#put(coarse, at, number));
    this.reach = this.#centred();
  }

  /** Move all places so that their box's middle is the origin; gives how far the farthest then lies from it, mm. */
  #centred() {
    const { places } = this;
    const [low, high] = [[Infinity, Infinity, Infinity], [-Infinity, -Infinity, -Infinity]];
    places.forEach((mm, at) => {
      low[at % 3] = Math.min(low[at % 3], mm);
      high[at % 3] = Math.max(high[at % 3], mm);
    });
    let farthest = Math.max(...this.steps);
    for (let at = 0; at < places.length; at += 3) {
      for (let axis = 0; axis < 3; axis++) places[at + axis] -= (low[axis] + high[axis]) / 2;
      farthest = Math.max(farthest, Math.hypot(places[at], places[at + 1], places[at + 2]));
    }
    return farthest;
  }

  /** Surfaces look away from the voxels of their own label. */
  #put({ ids, size, steps }, at, number) {
    const place = [Math.floor(at / (size[1] * size[2])), Math.floor(at / size[2]) % size[1], at % size[2]];
    const normal = [0, 0, 0];
    for (let d = -REACH; d <= REACH; d++) {
      for (let h = -REACH; h <= REACH; h++) {
        for (let w = -REACH; w <= REACH; w++) {
          const [depth, height, width] = [place[0] + d, place[1] + h, place[2] + w];
          const inside = depth >= 0 && height >= 0 && width >= 0 && depth < size[0] && height < size[1] && width < size[2];
          if (inside && ids[(depth * size[1] + height) * size[2] + width] === ids[at]) continue;
          normal[0] += w;
          normal[1] += h;
          normal[2] += d;
        }
      }
    }
    const length = Math.hypot(...normal) || 1;
    for (let axis = 0; axis < 3; axis++) {
      this.places[3 * number + axis] = place[2 - axis] * steps[2 - axis];
      this.normals[3 * number + axis] = normal[axis] / length;
    }
  }
}

/** Every so many voxels of a label map, so that they lie 2.5 mm apart or as they are where that is more. */
function coarsened(labels, shape, spacing) {
  const every = spacing.map((mm) => Math.max(1, Math.round(FINEST_MM / mm)));
  const size = shape.map((length, axis) => Math.ceil(length / every[axis]));
  const ids = new Uint8Array(size[0] * size[1] * size[2]);
  for (let d = 0, at = 0; d < size[0]; d++) {
    for (let h = 0; h < size[1]; h++) {
      const row = (d * every[0] * shape[1] + h * every[1]) * shape[2];
      for (let w = 0; w < size[2]; w++, at++) ids[at] = labels[row + w * every[2]];
    }
  }
  return { ids, size, steps: spacing.map((mm, axis) => mm * every[axis]) };
}

/** Labelled voxels with a neighbour of another label, or at the volume's end. */
function surfaceVoxels({ ids, size: [depth, height, width] }) {
  const found = [];
  for (let d = 0, at = 0; d < depth; d++) {
    for (let h = 0; h < height; h++) {
      for (let w = 0; w < width; w++, at++) {
        const id = ids[at];
        if (!id) continue;
        const ends = !d || !h || !w || d === depth - 1 || h === height - 1 || w === width - 1;
        const steps = [1, width, height * width];
        if (ends || steps.some((step) => ids[at - step] !== id || ids[at + step] !== id)) found.push(at);
      }
    }
  }
  return found;
}

/** The organs on a canvas; `turn` is how far they are turned and tipped. */
class Solid {
  constructor(canvas) {
    this.canvas = canvas;
  }

  resize(width, height) {
    [this.width, this.height] = [width, height];
    [this.canvas.width, this.canvas.height] = [width, height];
    Object.assign(this.canvas.style, { width: `${width}px`, height: `${height}px` });
    this.image = new ImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.nearest = new Float32Array(width * height);
  }

  /** Draw the organs that `view.lookup` has, seen from the front: the patient's right is on the picture's left. */
  draw(surface, view) {
    const { width, height, pixels, nearest } = this;
    pixels.fill(pixel([0, 0, 0]));
    nearest.fill(-Infinity);
    const scale = (0.5 * Math.min(width, height) * view.closer) / surface.reach;
    const [cos, sin] = [Math.cos(view.turn[0]), Math.sin(view.turn[0])];
    const [up, over] = [Math.cos(view.turn[1]), Math.sin(view.turn[1])];
    const colours = shades(view.organs);
    const edge = Math.max(1, Math.ceil(1.2 * scale * Math.max(...surface.steps)));
    const { places, normals, ids } = surface;
    for (let i = 0, at = 0; i < ids.length; i++, at += 3) {
      const organ = view.lookup[ids[i]];
      if (!organ) continue;
      const towards = sin * places[at] + cos * places[at + 1];
      const left = Math.round(width / 2 - scale * (cos * places[at] - sin * places[at + 1]) - edge / 2);
      const top = Math.round(height / 2 - scale * (up * places[at + 2] - over * towards) - edge / 2);
      const depth = up * towards + over * places[at + 2];
      const [nx, ny, nz] = [normals[at], normals[at + 1], normals[at + 2]];
      const front = sin * nx + cos * ny; // the lamp is the onlooker's, and does not turn with the body
      const lit = LIGHT[0] * (sin * ny - cos * nx) + LIGHT[1] * (up * front + over * nz) + LIGHT[2] * (up * nz - over * front);
      const shade = colours[(organ - 1) * SHADES + Math.round(Math.max(0, lit) * (SHADES - 1))];
      for (let y = Math.max(0, top); y < Math.min(height, top + edge); y++) {
        for (let x = Math.max(0, left), p = y * width + x; x < Math.min(width, left + edge); x++, p++) {
          if (depth > nearest[p]) [nearest[p], pixels[p]] = [depth, shade];
        }
      }
    }
    this.canvas.getContext("2d").putImageData(this.image, 0, 0);
  }
}

/** Packed pixels of each organ from its shadow to its light. */
function shades(organs) {
  const found = new Uint32Array(organs.length * SHADES);
  organs.forEach(({ colour }, number) => {
    for (let shade = 0; shade < SHADES; shade++) {
      const bright = 0.3 + (0.7 * shade) / (SHADES - 1);
      found[number * SHADES + shade] = pixel(colour.map((channel) => Math.round(channel * bright)));
    }
  });
  return found;
}
