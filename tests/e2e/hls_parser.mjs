// Parses playlists on standard input, a JSON list of texts, in hls-parser's strict mode.
import { readFileSync } from "node:fs";
import * as HLS from "hls-parser";

HLS.setOptions({ strictMode: true });
for (const text of JSON.parse(readFileSync(0, "utf8"))) {
  HLS.parse(text);
}
