// Prints what mp4box.js reads of the init segment on standard input.
import { readFileSync } from "node:fs";
import { createFile } from "mp4box";

const file = createFile();
file.onReady = (info) => {
  const [track] = info.tracks;
  console.log(JSON.stringify({ codec: track.codec, timescale: track.timescale, fragmented: info.isFragmented }));
};
const bytes = readFileSync(0);
const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
buffer.fileStart = 0;
file.appendBuffer(buffer);
file.flush();
