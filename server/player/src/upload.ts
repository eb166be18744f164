// fetch() cannot report how much of a body was sent, so uploads use XMLHttpRequest.
import { ApiError, type Media, OFFLINE, problem } from "./api";
import { userId } from "./user";

export interface Upload {
  /** Resolves with null when cancelled. */
  done: Promise<Media | null>;
  cancel(): void;
}

export function startUpload(file: File, onProgress: (sentBytes: number) => void): Upload {
  const xhr = new XMLHttpRequest();
  const done = new Promise<Media | null>((resolve, reject) => {
    xhr.upload.onprogress = (event) => onProgress(Math.min(event.loaded, file.size));
    xhr.onload = () => {
      if (xhr.status === 201) resolve(JSON.parse(xhr.responseText) as Media);
      else reject(problem(xhr.status, xhr.responseText));
    };
    xhr.onabort = () => resolve(null);
    xhr.onerror = () =>
      reject(
        new ApiError(
          OFFLINE,
          "The upload was interrupted.",
          "The connection to the server broke before it answered.",
        ),
      );
  });
  xhr.open("POST", "/api/v1/upload");
  xhr.setRequestHeader("X-User-ID", userId());
  const form = new FormData();
  form.append("file", file); // without a title, so the server takes the file's name
  xhr.send(form);
  return { done, cancel: () => xhr.abort() };
}
