// The control API as the page uses it. Every failure becomes an ApiError in the server's words.
import { userId } from "./user";

export type Status = "uploading" | "queued" | "processing" | "ready" | "failed";

/** Fields are null until the file has been probed, or where it has no such track. */
export interface Source {
  size_bytes: number;
  video_codec: string | null;
  audio_codec: string | null;
  width: number | null;
  height: number | null;
  frame_rate: number | null;
}

export interface Rendition {
  name: string;
  type: "video" | "audio";
  width: number | null;
  height: number | null;
}

export interface Media {
  id: string;
  title: string;
  description: string;
  type: "video" | "audio";
  status: Status;
  playable: boolean;
  progress: number;
  duration_s: number | null;
  source: Source;
  renditions: Rendition[];
  warnings: string[];
  error: { code: string; message: string; retryable: boolean } | null;
  created_at: string;
}

export interface MediaPage {
  items: Media[];
  next_cursor: string | null;
}

export interface Playback {
  url: string;
  cmcd_url: string;
  cookies: Record<string, string> | null;
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    detail: string,
  ) {
    super(detail);
  }
}

/** The network failed: nothing was answered. */
export const OFFLINE = 0;

export function unreachable(): ApiError {
  return new ApiError(OFFLINE, "The server cannot be reached.", "Is it running?");
}

export function problem(status: number, body: string): ApiError {
  const fallback = new ApiError(status, `The server answered ${status}.`, "");
  try {
    const { title, detail } = JSON.parse(body) as { title?: unknown; detail?: unknown };
    if (typeof title !== "string") return fallback;
    return new ApiError(status, `${title}.`, typeof detail === "string" ? detail : "");
  } catch (error) {
    if (error instanceof SyntaxError) return fallback;
    throw error;
  }
}

async function request(method: string, path: string): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { method, headers: { "X-User-ID": userId() } });
  } catch (error) {
    if (error instanceof TypeError) throw unreachable();
    throw error;
  }
  if (!response.ok) throw problem(response.status, await response.text());
  return response;
}

async function get<T>(path: string): Promise<T> {
  return (await request("GET", path)).json() as Promise<T>;
}

const mediaPath = (id: string): string => `/api/v1/media/${encodeURIComponent(id)}`;

export const getMedia = (id: string): Promise<Media> => get(mediaPath(id));

export const getPlayback = (id: string): Promise<Playback> => get(`${mediaPath(id)}/playback`);

export function listMedia(cursor: string | null): Promise<MediaPage> {
  const query = cursor === null ? "" : `?cursor=${encodeURIComponent(cursor)}`;
  return get(`/api/v1/media${query}`);
}

export async function deleteMedia(id: string): Promise<void> {
  try {
    await request("DELETE", mediaPath(id));
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return; // it is gone, as was asked
    throw error;
  }
}
