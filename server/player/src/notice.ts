// One line at the foot of the page for what went wrong and belongs to no place on it.
import { ApiError } from "./api";
import { element, setText } from "./dom";

const box = element("notice");

export function showNotice(title: string, text: string): void {
  setText(element("notice-title"), title);
  setText(element("notice-text"), text);
  box.hidden = false;
}

export function hideNotice(): void {
  box.hidden = true;
}

/** Tells the person; anything but an ApiError is a bug of the page and goes on to the console. */
export function showError(error: unknown): void {
  if (!(error instanceof ApiError)) throw error;
  showNotice(error.title, error.message);
}

element("notice-close").addEventListener("click", hideNotice);
