// From the bytes that the server sends (encoding.py) to arrays of voxels.

/** The JSON at the start of a message, and where its chunks begin. */
function readHeader(bytes) {
  const start = 4 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  return { header: JSON.parse(new TextDecoder().decode(bytes.subarray(4, start))), start };
}

/** All volumes of a message as Uint8Arrays, D × H × W. */
function readVolumes(bytes, { header, start }) {
  let next = start;
  const [depth, height, width] = header.shape;
  const volumes = header.volumes.map(async ({ chunks, differenced }) => {
    // A multiple of 4 bytes, so that tally.js can look at four voxels at once.
    const buffer = new ArrayBuffer(Math.ceil((depth * height * width) / 4) * 4);
    const voxels = new Uint8Array(buffer, 0, depth * height * width);
    const jobs = chunks.map((length, number) => {
      const packed = bytes.subarray(next, (next += length));
      const first = number * header.slices * height * width;
      return inflate(packed, voxels.subarray(first, first + header.slices * height * width), differenced);
    });
    await Promise.all(jobs);
    return voxels;
  });
  return Promise.all(volumes);
}

async function inflate(packed, target, differenced) {
  if (!packed.length) return; // no label in it
  const { readable, writable } = new DecompressionStream("deflate");
  const writer = writable.getWriter();
  const written = Promise.all([writer.write(packed), writer.close()]);
  const reader = readable.getReader();
  let filled = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    target.set(part.value, filled);
    filled += part.value.length;
  }
  await written;
  if (differenced) addUp(target);
}

/** From differences (mod 256) back to values, in place. */
function addUp(values) {
  for (let i = 1, value = values[0]; i < values.length; i++) {
    value = (value + values[i]) & 255;
    values[i] = value;
  }
}
