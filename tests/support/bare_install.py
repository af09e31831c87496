"""Run in a bare install, away from the checkout: a photo is answered without torch and without OpenCV."""

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

LIMIT_MB = 850


def main(command: str) -> str:
    assert importlib.util.find_spec("torch") is None, "the runtime install must not contain torch"
    start = time.perf_counter()
    import crossfer

    elapsed = time.perf_counter() - start
    skimage = importlib.util.find_spec("skimage")
    assert skimage is not None
    photo = Path(str(skimage.origin)).parent / "data" / "astronaut.png"

    weights = Path(crossfer.__file__).parent / "models" / "base.safetensors"
    assert weights.stat().st_size > 1_000_000, (
        "the weights that fine-tuning starts from come with the install"
    )

    (face,) = crossfer.Recognizer().recognize(photo)
    assert "cv2" not in sys.modules, "nothing on the path from photo to answer may import cv2"

    predict = [command, "predict", str(photo), "--format", "json", "--annotate", "drawn"]
    done = subprocess.run(predict, capture_output=True, text=True, check=True)
    (answer,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert answer["faces"] == [face.to_dict()], answer
    assert Path("drawn/astronaut.png").stat().st_size > 0

    bench = [command, "bench", "--quick", "--format", "json"]
    measured = json.loads(subprocess.run(bench, capture_output=True, text=True, check=True).stdout)[
        "measured"
    ]
    assert set(measured) == {"faces", "photo", "start", "memory"}, "speed is measured in the plain install"

    size = sum(path.lstat().st_blocks * 512 for path in Path(sys.prefix).rglob("*")) / 2**20
    assert size < LIMIT_MB, f"the install takes {size:.0f} MB, more than {LIMIT_MB}"
    found = f"{face.expression} {face.confidence:.1%}"
    return f"{found}; import {elapsed:.2f} s; install {size:.0f} MB, without torch and cv2"


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1]) + "\n")
