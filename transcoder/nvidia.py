"""What NVIDIA's libraries open when NVENC is: a child does that after it has been confined.

The list is what CUDA programs are known to open; no GPU was there to try it. None of it is secret.
"""

from pathlib import Path

from transcoder.landlock import READ_FILE, READ_FOLDER, USE_DEVICE, WRITE_FILE

_DEVICES = ("dev/nvidiactl", "dev/nvidia-uvm", "dev/nvidia[0-9]*")
_READ = (
    *("etc/ld.so.cache", "usr/lib", "usr/lib64"),
    *("proc/devices", "proc/driver/nvidia", "proc/self/maps", "sys/devices/system/memory"),
)


def files(root: Path = Path("/")) -> dict[Path, int]:
    """With what is allowed of each; none where there is no GPU."""
    devices = [device for pattern in _DEVICES for device in root.glob(pattern)]
    if not devices:
        return {}
    there = [path for path in (root / name for name in _READ) if path.exists()]
    rights = {path: READ_FILE | (READ_FOLDER if path.is_dir() else 0) for path in there}
    return rights | dict.fromkeys(devices, READ_FILE | WRITE_FILE | USE_DEVICE)
