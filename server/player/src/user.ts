// Who is asking: the command line's user too, so that what either uploads is listed in both;
// another one, once chosen, is kept in this browser.
import { child, element } from "./dom";

const KEY = "headrace.user";
const DEFAULT_USER = "local";

export function userId(): string {
  return localStorage.getItem(KEY) ?? DEFAULT_USER;
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
