import { deleteMedia, getMedia, listMedia, type Media } from "./api";
import { child, element, setText } from "./dom";
import { setUpDrop } from "./drop";
import { Library } from "./library";
import { showError } from "./notice";
import { Stage } from "./stage";
import { setUpUserDialog } from "./user";
import { isUnfinished, Watcher } from "./watcher";

let nextCursor: string | null = null;

const stage = new Stage();
const library = new Library({
  onOpen: (id) => {
    if (stage.mediaId === id) stage.play();
    else void open(id, { playWhenReady: true });
  },
  onDelete: confirmDelete,
});
const watcher = new Watcher({ onMedia: update, onGone: remove });

function add(media: Media, where: "first" | "last"): void {
  library.add(media, where);
  if (isUnfinished(media)) watcher.watch(media.id);
  showEmptiness();
}

function update(media: Media): void {
  library.update(media);
  if (stage.mediaId === media.id) stage.update(media);
}

function remove(id: string): void {
  watcher.forget(id);
  library.remove(id);
  if (stage.mediaId === id) close();
  showEmptiness();
}

function showEmptiness(): void {
  document.body.classList.toggle("empty", library.newest() === undefined && !stage.mediaId);
}

async function open(id: string, options: { playWhenReady: boolean }): Promise<void> {
  try {
    const media = library.get(id) ?? (await getMedia(id));
    history.replaceState(null, "", `#${id}`);
    document.title = `${media.title} · Headrace`;
    stage.show(media, options);
    library.select(id);
    if (isUnfinished(media)) watcher.watch(id);
  } catch (error) {
    showError(error);
  }
  showEmptiness();
}

function close(): void {
  stage.clear();
  library.select(null);
  history.replaceState(null, "", location.pathname);
  document.title = "Headrace";
}

async function loadMore(): Promise<void> {
  try {
    const page = await listMedia(nextCursor);
    nextCursor = page.next_cursor;
    for (const media of page.items) add(media, "last");
    element("more").hidden = nextCursor === null;
  } catch (error) {
    showError(error);
  }
}

function uploaded(media: Media): void {
  add(media, "first");
  if (!stage.isPlaying) void open(media.id, { playWhenReady: true });
}

function confirmDelete(media: Media): void {
  const dialog = element("delete-dialog", HTMLDialogElement);
  setText(child(dialog, "h2"), `Delete “${media.title}”?`);
  dialog.returnValue = "cancel";
  dialog.onclose = () => {
    if (dialog.returnValue === "delete") {
      void removeForGood(media.id);
    }
  };
  dialog.showModal();
}

async function removeForGood(id: string): Promise<void> {
  const wasWatched = watcher.forget(id); // from now on it may be gone at any moment
  try {
    await deleteMedia(id);
    remove(id);
    element("file").focus(); // the button that had the focus is gone
  } catch (error) {
    if (wasWatched) watcher.watch(id);
    showError(error);
  }
}

function startAgain(): void {
  history.replaceState(null, "", location.pathname);
  location.reload();
}

async function start(): Promise<void> {
  setUpUserDialog(startAgain);
  setUpDrop(uploaded);
  element("more").addEventListener("click", () => void loadMore());
  window.addEventListener("hashchange", () => {
    const linked = location.hash.slice(1);
    if (linked) void open(linked, { playWhenReady: true });
  });
  const linked = location.hash.slice(1);
  await loadMore();
  const id = linked || library.newest()?.id;
  if (id) await open(id, { playWhenReady: false });
}

void start();
