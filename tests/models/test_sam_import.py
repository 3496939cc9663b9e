"""segment_anything can be imported here, whatever was tried before."""

import subprocess
import sys


def test_an_import_that_failed_before_leaves_no_half_package() -> None:
    """In a process of its own: a bare import (which may fail, where operators are missing), then ours."""
    code = (
        "import contextlib\n"
        "with contextlib.suppress(RuntimeError):\n"
        "    import segment_anything\n"
        "from autosam_models.sam_import import segment_anything as ours\n"
        "print(ours.modeling.ImageEncoderViT.__name__)"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "ImageEncoderViT", done.stderr
