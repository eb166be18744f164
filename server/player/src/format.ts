const percentFormat = new Intl.NumberFormat("en", { style: "percent" });
const numberFormat = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const countFormat = new Intl.NumberFormat("en");
const timeFormat = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const dayFormat = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const dateFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

export const percent = (part: number): string => percentFormat.format(part);
export const count = (value: number): string => countFormat.format(value);

/** 65.2 -> "1:05", 3725 -> "1:02:05" */
export function clock(seconds: number): string {
  const total = Math.round(seconds);
  const two = (value: number): string => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(total / 3600), Math.floor(total / 60) % 60];
  return hours > 0
    ? `${hours}:${two(minutes)}:${two(total % 60)}`
    : `${minutes}:${two(total % 60)}`;
}

function scaled(value: number, units: readonly string[]): string {
  let index = 0;
  let rest = value;
  while (rest >= 999.5 && index < units.length - 1) {
    rest /= 1000;
    index += 1;
  }
  return `${numberFormat.format(rest)} ${units[index]}`;
}

export const bytes = (value: number): string => scaled(value, ["B", "kB", "MB", "GB", "TB"]);
export const bitRate = (value: number): string => scaled(value, ["b/s", "kb/s", "Mb/s", "Gb/s"]);

/** The time for today, the day for this year, else the date. */
export function moment(iso: string, now = new Date()): string {
  const date = new Date(iso);
  if (date.toDateString() === now.toDateString()) return timeFormat.format(date);
  return (date.getFullYear() === now.getFullYear() ? dayFormat : dateFormat).format(date);
}
