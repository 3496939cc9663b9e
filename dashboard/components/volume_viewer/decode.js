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
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  target.set(new Uint8Array(await new Response(stream).arrayBuffer()));
  if (!differenced) return;
  for (let i = 1, value = target[0]; i < target.length; i++) {
    value = (value + target[i]) & 255;
    target[i] = value;
  }
}
