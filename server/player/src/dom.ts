type Constructor<T> = abstract new () => T;

/** The element with this id, which index.html is known to have. */
export function element(id: string): HTMLElement;
export function element<T extends Element>(id: string, type: Constructor<T>): T;
export function element(id: string, type: Constructor<Element> = HTMLElement): Element {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`no ${type.name} with id ${id} in the page`);
  return found;
}

/** The first match inside `parent`, which is known to have one. */
export function child(parent: ParentNode, selector: string): HTMLElement;
export function child<T extends Element>(
  parent: ParentNode,
  selector: string,
  type: Constructor<T>,
): T;
export function child(
  parent: ParentNode,
  selector: string,
  type: Constructor<Element> = HTMLElement,
): Element {
  const found = parent.querySelector(selector);
  if (!(found instanceof type)) throw new Error(`no ${selector} in the page`);
  return found;
}

/** A fresh copy of the single element that a template holds. */
export function copyTemplate(id: string): HTMLElement {
  const copy = element(id, HTMLTemplateElement).content.cloneNode(true) as DocumentFragment;
  return child(copy, "*");
}

/** Changes the text only if it differs, so that screen readers announce a change once. */
export function setText(target: Element, text: string): void {
  if (target.textContent !== text) target.textContent = text;
}
