// Who is asking: a random id, kept in this browser, that the person may replace with another.
import { child, element } from "./dom";

const KEY = "headrace.user";
const RANDOM_BYTES = 6;

export function userId(): string {
  const kept = localStorage.getItem(KEY);
  if (kept) return kept;
  const made = `guest-${randomHex()}`;
  localStorage.setItem(KEY, made);
  return made;
}

// crypto.randomUUID exists only on https and localhost; a laptop is also opened by its address.
function randomHex(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(RANDOM_BYTES));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function setUpUserDialog(onChange: () => void): void {
  const name = element("user-name");
  const dialog = element("user-dialog", HTMLDialogElement);
  const input = element("user-input", HTMLInputElement);
  name.textContent = userId();
  element("user").addEventListener("click", () => {
    input.value = userId();
    dialog.returnValue = "cancel"; // Escape keeps the value of the time before
    dialog.showModal();
    input.select();
  });
  child(dialog, "[type=button]").addEventListener("click", () => dialog.close("cancel"));
  dialog.addEventListener("close", () => {
    if (dialog.returnValue !== "save" || input.value === userId()) return;
    localStorage.setItem(KEY, input.value);
    name.textContent = input.value;
    onChange();
  });
}
