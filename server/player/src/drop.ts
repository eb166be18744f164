// Where a file is dropped or chosen, and its upload watched.
import type { Media } from "./api";
import { element, setText } from "./dom";
import { bitRate, bytes, percent } from "./format";
import { hideNotice, showError, showNotice } from "./notice";
import { startUpload } from "./upload";

export function setUpDrop(onUploaded: (media: Media) => void): void {
  const input = element("file", HTMLInputElement);
  const take = (files: FileList | null | undefined): void => {
    const [file, ...others] = files ?? [];
    if (!file) return;
    if (others.length > 0) showNotice("One file at a time, please.", "");
    else void upload(file, onUploaded);
  };
  input.addEventListener("change", () => {
    take(input.files);
    input.value = ""; // choosing the same file again is a change again
  });
  acceptDrops((files) => {
    if (element("upload").hidden) take(files);
    else showNotice("One file at a time, please.", "An upload is under way.");
  });
}

/** The whole window takes drops: a near miss must not make the browser leave the page. */
function acceptDrops(take: (files: FileList | undefined) => void): void {
  const highlight = (on: boolean): void => void document.body.classList.toggle("dropping", on);
  window.addEventListener("dragover", (event) => {
    event.preventDefault();
    highlight(event.dataTransfer?.types.includes("Files") ?? false);
  });
  window.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) highlight(false);
  });
  window.addEventListener("drop", (event) => {
    event.preventDefault();
    highlight(false);
    take(event.dataTransfer?.files);
  });
}

async function upload(file: File, onUploaded: (media: Media) => void): Promise<void> {
  hideNotice();
  const showProgress = progressView(file);
  const { done, cancel } = startUpload(file, showProgress);
  const warn = (event: Event): void => event.preventDefault(); // leaving would lose the upload
  window.addEventListener("beforeunload", warn);
  element("upload-cancel").onclick = cancel;
  setBusy(true);
  element("upload-cancel").focus();
  try {
    const media = await done;
    if (media) onUploaded(media);
  } catch (error) {
    showError(error);
  } finally {
    window.removeEventListener("beforeunload", warn);
    setBusy(false);
  }
}

function setBusy(busy: boolean): void {
  element("upload").hidden = !busy;
  element("drop").hidden = busy;
}

function progressView(file: File): (sentBytes: number) => void {
  const startedMs = performance.now();
  const bar = element("upload-progress", HTMLProgressElement);
  const show = (sentBytes: number): void => {
    const part = file.size === 0 ? 1 : sentBytes / file.size;
    const rate = (sentBytes * 8) / Math.max((performance.now() - startedMs) / 1000, 0.001);
    bar.value = part;
    setText(
      element("upload-text"),
      part < 1
        ? `${percent(part)} of ${bytes(file.size)}${sentBytes > 0 ? ` · ${bitRate(rate)}` : ""}`
        : "Sent, waiting for the server",
    );
  };
  setText(element("upload-name"), file.name);
  show(0);
  return show;
}
