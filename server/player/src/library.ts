// The list of the user's media, newest first.
import type { Media, Status } from "./api";
import { child, copyTemplate, element, setText } from "./dom";
import { clock, moment, percent } from "./format";

const STATUS_TEXT: Record<Status, string> = {
  uploading: "Uploading",
  queued: "Queued",
  processing: "Encoding",
  ready: "Ready",
  failed: "Failed",
};

export interface LibraryListener {
  onOpen(id: string): void;
  onDelete(media: Media): void;
}

interface Entry {
  media: Media;
  row: HTMLElement;
}

export class Library {
  private readonly entries = new Map<string, Entry>();
  private readonly list = element("items");

  constructor(private readonly listener: LibraryListener) {}

  get(id: string): Media | undefined {
    return this.entries.get(id)?.media;
  }

  newest(): Media | undefined {
    const row = this.list.firstElementChild;
    return row instanceof HTMLElement ? this.get(row.dataset.id ?? "") : undefined;
  }

  /** At the given end of the list, or where the title is already. */
  add(media: Media, where: "first" | "last"): void {
    if (!this.entries.has(media.id)) {
      const row = this.newRow(media.id);
      this.entries.set(media.id, { media, row });
      if (where === "first") this.list.prepend(row);
      else this.list.append(row);
    }
    this.update(media);
    this.showIfAny();
  }

  /** Nothing if the title is not in the list: one that a link led to may be further down. */
  update(media: Media): void {
    const entry = this.entries.get(media.id);
    if (!entry) return;
    entry.media = media;
    render(entry);
  }

  remove(id: string): void {
    this.entries.get(id)?.row.remove();
    this.entries.delete(id);
    this.showIfAny();
  }

  select(id: string | null): void {
    for (const [other, { row }] of this.entries) {
      const button = child(row, ".item-open");
      if (other === id) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
  }

  private showIfAny(): void {
    element("library").hidden = this.entries.size === 0;
  }

  private newRow(id: string): HTMLElement {
    const row = copyTemplate("item-template");
    row.dataset.id = id;
    child(row, ".item-open").addEventListener("click", () => this.listener.onOpen(id));
    child(row, ".item-delete").addEventListener("click", () => {
      const media = this.get(id);
      if (media) this.listener.onDelete(media);
    });
    return row;
  }
}

function render({ media, row }: Entry): void {
  row.dataset.status = media.status;
  child(row, "use", SVGUseElement).setAttribute("href", `#icon-${media.type}`);
  setText(child(row, ".item-title"), media.title);
  setText(child(row, ".badge"), badge(media));
  setText(child(row, ".item-facts"), facts(media));
  child(row, ".item-delete").setAttribute("aria-label", `Delete ${media.title}`);
  const bar = child(row, "progress", HTMLProgressElement);
  bar.hidden = media.status !== "processing";
  bar.value = media.progress;
}

function badge(media: Media): string {
  const text = STATUS_TEXT[media.status];
  return media.status === "processing" ? `${text} ${percent(media.progress)}` : text;
}

function facts(media: Media): string {
  if (media.error) return media.error.message;
  const duration = media.duration_s === null ? [] : [clock(media.duration_s)];
  return [...duration, moment(media.created_at)].join(" · ");
}
