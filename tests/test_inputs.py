"""Bad names, files and texts on every command line: one line, before anything slow is imported."""

from __future__ import annotations

import os
import resource
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from PIL import Image
from programs import ANALYSES

from llavit_lens import cli
from llavit_lens.disk import check_file, has_file, user_path
from llavit_lens.errors import CheckpointError, ConfigurationError, ImageError, LlavitLensError
from llavit_lens.inputs import check_model, check_out, check_out_folder
from llavit_lens.model.checkpoints.small_files import check_small_files
from llavit_lens.options import image_path
from llavit_lens.output import full_path, make_folder
from llavit_lens.studies.paper_figures.options import figure_app
from llavit_lens.studies.tables.options import table_app
from llavit_lens.terminal import run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that is current, with one thing of each kind that can go wrong."""
    folder = tmp_path_factory.mktemp("inputs")
    before = Path.cwd()
    os.chdir(folder)
    Image.new("RGB", (40, 30)).save("good.png")
    os.mkfifo("pipe")
    os.symlink("loop", "loop")
    os.symlink("nowhere", "lost")
    os.mkdir("folder")
    Path("file").write_text("x")
    yield folder
    os.chdir(before)


def ends(*arguments: object, application: Any = cli.app) -> Any:
    """Runs a command line in this process, where nothing may be loaded; raises its error."""
    names = [str(argument) for argument in arguments]
    return application(names, standalone_mode=False)


FOR_NOTHING = {  # names that serve for nothing
    "no user": "~nobody-of-this-name/x.png",
    "a long name": "x" * 300 + ".png",
    "a long path": "y/" * 2500 + "x.png",
    "a loop": "loop",
    "a pipe": "pipe",
    "a device": "/dev/zero",
}
NAMES = {
    "file": {**FOR_NOTHING, "none": "none.png", "a lost link": "lost", "a folder": "folder"},
    "out": FOR_NOTHING,
    "model": {**FOR_NOTHING, "none": "none.png", "a lost link": "lost", "a file": "file"},
}
LINES: list[tuple[str, Any, str]] = [  # what a {} names, the application, its arguments
    ("file", cli.app, "lens {}"),
    ("file", cli.app, "readability --coco {} --images folder"),
    ("file", cli.app, "readability --words {}"),
    ("file", figure_app(1, "x"), "--image {}"),
    ("out", figure_app(1, "x"), "--out {}/x"),
    ("out", table_app(1, Path()), "--results {}/x"),
    ("out", table_app(1, Path()), "--train {}/x"),
    ("out", cli.app, "lens good.png --out {}/x.png"),
    ("out", cli.app, "demo draw --out {}/x.png"),
    ("out", cli.app, "demo train --variant llavit --out {}/x"),
    ("out", cli.app, "demo train --variant llavit --out x --shared {}/x"),
    ("out", cli.app, "readability --out {}/x.csv"),
    ("out", cli.app, "convert folder {}/x"),
    ("model", cli.app, "lens good.png --model {}"),
    ("model", cli.app, "lens good.png --baseline {}"),
    ("model", cli.app, "convert {} out"),
    ("model", cli.app, "convert folder out --base {}"),
    ("model", cli.app, "convert folder out --vision-tower {}"),
    ("model", cli.app, "readability --model {}"),
    ("model", cli.app, "demo score --model {}"),
    ("model", figure_app(1, "x"), "--model {}"),
]


@pytest.mark.parametrize(
    ("application", "line", "name"),
    [
        pytest.param(application, line, name, id=f"{line}-{label}")
        for kind, application, line in LINES
        for label, name in NAMES[kind].items()
    ],
)
def test_a_bad_name_is_refused_at_once(application: Any, line: str, name: str, place: Path) -> None:
    with pytest.raises((ConfigurationError, ImageError, CheckpointError)) as error:
        ends(*(word.replace("{}", name) for word in line.split()), application=application)
    message = str(error.value)
    assert message.isprintable() and len(message) < 600


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lens", "http://a.org/x.png"], "http://a.org/x.png: web addresses are not opened"),
        (["lens", "HTTPS://a.org/x.png"], "web addresses are not opened"),
        (["readability", "--coco", "https://a.org/x.json"], "web addresses are not opened"),
        (["lens", "good.png", "--model", "https://huggingface.co/a/b"], "owner/name"),
        (["lens", "good.png", "--model", "demo:none"], "there are: demo:"),
        (["lens", "good.png", "--model", "file"], "is a file"),
        (["lens", "good.png", "--out", "x.doc"], "has to end in"),
        (["lens", "good.png", "--out", "folder"], "has to end in"),
        (["lens", "good.png", "--out", "no/x.png"], "there is no folder no"),
        (["lens", "good.png", "--prompt", "\udcff"], "is not text in UTF-8"),
        (["lens", "a\nb\x1b[31m.png"], r"a\nb\x1b[31m.png: no such file"),
        (["convert", "folder", "folder/x/y"], "there is no folder"),
        (["convert", "folder", "file"], "is there already"),
        (["convert", "folder", "lost"], "is there already"),
        (["demo", "train", "--variant", "llavit", "--out", "file/x"], "file is no folder"),
        (["readability", "--coco", "file", "--images", "none"], "none: no such folder"),
        (["readability", "--images", "folder"], "belong to --coco"),
        (["readability", "--coco", "file"], "needs --images"),
        (["lens", "good.png", "--layers", "1;2"], "neither 'all' nor numbers"),
        (["lens", "good.png", "--tile", "all"], "neither a number nor 'grid'"),
        (["lens", "file"], "file: not an image that can be read"),
        (["lens", "good.png", "--layers", "0,1,2,3,0,1,2", "--out", "x.png"], "7 layers do not"),
        (["convert", "folder", "new", "--vision-feature-layer", "x"], "give numbers like -2"),
    ],
)
def test_messages(arguments: list[str], message: str, place: Path) -> None:
    with pytest.raises((ConfigurationError, ImageError, CheckpointError)) as error:
        ends(*arguments)
    assert message in str(error.value)


def test_names_that_are_empty() -> None:
    for refuse in (check_model, user_path):
        with pytest.raises((ConfigurationError, CheckpointError), match="is empty"):
            refuse("")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_no_permission_is_one_line(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "x.png").write_text("x")
    (tmp_path / "x.json").write_text("{}")
    (tmp_path / "x.json").chmod(0)
    for folder in tmp_path.parents:
        if folder.stat().st_uid == 0 and len(folder.parts) > 2:
            folder.chmod(0o755)
    tmp_path.chmod(0o755)
    os.seteuid(65534)
    try:
        for refuse, path in [
            (check_file, closed / "x.png"),
            (has_file, closed / "x.png"),
            (check_file, tmp_path / "x.json"),
            (has_file, tmp_path / "x.json"),
            (check_model, closed / "model"),
        ]:
            with pytest.raises((ConfigurationError, CheckpointError), match="Permission denied"):
                refuse(path)
        with pytest.raises(ConfigurationError, match="Permission denied"):
            check_out(closed / "x.png", (".png",))
        with pytest.raises(ConfigurationError, match="no permission in the folder"):
            check_out(tmp_path / "x.png", (".png",))
    finally:
        os.seteuid(0)


def program(*arguments: str, script: str | None = None, **options: Any) -> Any:
    """Runs the command, or a script of `analyses/`, as a program of its own."""
    code = (
        "import sys, runpy; sys.argv = sys.argv[1:]\n"
        "try:\n"
        f"    runpy.run_path({script!r}, run_name='__main__') if {script!r} else "
        "__import__('llavit_lens.cli').cli.main()\n"
        "finally:\n"
        "    slow = {'torch', 'transformers', 'pandas', 'numpy'} & set(sys.modules)\n"
        "    sys.stderr.write(f'imported: {sorted(slow)}\\n')\n"
    )
    command = [sys.executable, "-c", code, script or "llavit-lens", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


@pytest.mark.long
@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        (None, ["lens", "none.png"]),
        (None, ["readability", "--coco", "none.json", "--images", "."]),
        (None, ["convert", "~nobody-of-this-name/x", "out"]),
        ("text_only.py", ["--questions", "none.jsonl"]),
        ("attention_distance.py", ["--image", "none"]),
        ("figure_3.py", ["--image", "none.png"]),
        ("table_1.py", ["--out", "/dev/null/x"]),
    ],
)
def test_nothing_slow_is_imported_for_an_error(script: str | None, arguments: list[str]) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = program(*arguments, script=None if script is None else str(ANALYSES / script))
    assert done.returncode == 2 and done.stdout == ""
    error, imported = done.stderr.splitlines()
    assert error.startswith("llavit-lens: error: ") and imported == "imported: []"
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 2


@pytest.mark.long
@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no /dev/full")
@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_output_that_cannot_be_written(arguments: list[str]) -> None:
    command = [sys.executable, "-c", "from llavit_lens.cli import main; main()", *arguments]
    for shell, code, said in [
        ('"$@" > /dev/full', 2, "llavit-lens: error: the output: No space left on device\n"),
        ('"$@" >&-', 2, "llavit-lens: error: standard output is closed; "),
        ('"$@" 2>&- >/dev/full', 2, ""),
        ('"$@" 2>/dev/full >/dev/full', 2, ""),
        ('"$@" 2>&- >/dev/null', 0, ""),
    ]:
        done = subprocess.run(
            ["bash", "-c", shell, "x", *command], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == code, (shell, done.stderr)
        assert done.stderr.startswith(said) and done.stderr.count("\n") == bool(said)


@pytest.mark.long
@pytest.mark.parametrize(
    "code",
    [
        "from llavit_lens.cli import main; main()",
        "from rich.console import Console\nrun(lambda: Console().print('x'))",
        "import typer\napp = typer.Typer()\n"
        "@app.command()\ndef say() -> None: print('x', flush=True)\nrun(app)",
        "run(lambda: print('x'))",
    ],
    ids=["help", "rich", "typer", "print"],
)
def test_a_reader_that_has_left_is_exit_code_141(code: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code = f"import sys\nfrom llavit_lens.terminal import run\nsys.argv = ['x'] * 1\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def _leaves(application: Any, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stop:
        run(application)
    return int(stop.value.code or 0), capsys.readouterr().err


def test_whatever_happens_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def raising(error: BaseException) -> Any:
        def fail() -> None:
            raise error

        return fail

    for error, code, said in [
        (ConfigurationError("a\nb"), 2, "error: a b"),
        (PermissionError(13, "Permission denied", "a\nb"), 2, r"error: a\nb: Permission denied"),
        (OSError(28, "No space left on device"), 2, "error: the output: No space left on device"),
        (OSError("HTTPSConnectionPool"), 1, "error: OSError: HTTPSConnectionPool; this is a fault"),
        (OSError(22, "Invalid argument"), 1, "error: OSError: [Errno 22] Invalid argument; this"),
        (OSError(12, "Cannot allocate memory"), 2, "error: there is not enough memory"),
        (RuntimeError("can't allocate memory: you tried"), 2, "error: there is not enough memory"),
        (RuntimeError("CUDA out of memory. Tried to"), 2, "error: there is not enough memory"),
        (RuntimeError("tensor is not allocated yet"), 1, "error: RuntimeError: tensor is not"),
        (MemoryError(), 2, "error: there is not enough memory (MemoryError)"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (BrokenPipeError(32, "Broken pipe"), 141, ""),
        (KeyError("x"), 1, "error: KeyError: 'x'; this is a fault in llavit-lens: please report"),
        (RecursionError("deep"), 1, "error: RecursionError: deep; this is a fault"),
        (SystemExit(3), 3, ""),
        (SystemExit(None), 0, ""),
        (SystemExit("text"), 1, ""),
    ]:
        left, err = _leaves(raising(error), capsys)
        assert left == code and err.count("\n") == bool(said)
        assert err.startswith(f"llavit-lens: {said}" if said else "")


@pytest.mark.long
def test_an_interrupt_is_one_line() -> None:
    code = (
        "import time, typer\nfrom llavit_lens.terminal import run\n"
        "app = typer.Typer()\n"
        "@app.command()\n"
        "def main() -> None:\n"
        "    print('here', flush=True); time.sleep(60)\n"
        "run(app)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "here\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "llavit-lens: interrupted\n")


def test_characters_that_a_terminal_lacks_do_not_end_a_command() -> None:
    code = "from llavit_lens.terminal import run; run(lambda: print('│ \\udcff'))"
    for encoding in ("ascii", "utf-8", "latin-1"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": encoding},
            timeout=60,
        )
        assert done.returncode == 0 and done.stderr == b"" and rb"\udcff" in done.stdout


def test_callbacks_look_at_each_value_and_leave_out_what_is_empty() -> None:
    seen: list[Any] = []
    callback = cli.checked(seen.append)
    assert callback(["a", "", "b"]) == ["a", "", "b"] and callback(None) is None
    assert callback("c") == "c" and callback("") == ""
    assert seen == ["a", "b", "c"]


def test_a_path_of_an_option_has_its_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    callback = cli.checked(lambda value: None)
    assert callback([Path("~/x"), Path("~")]) == [tmp_path / "x", tmp_path]
    assert callback("~/x") == "~/x"  # a model, whose loader replaces it
    make_folder(Path("~/made"))
    assert (tmp_path / "made").is_dir()
    assert full_path(Path("~/made")) == (tmp_path / "made").resolve()


def test_only_a_tilde_alone_is_a_home(place: Path) -> None:
    Path("~t.png").write_text("x")
    Path("~f").mkdir()
    assert check_file("~t.png") == check_file(Path("./~t.png")) == Path("~t.png")
    check_out(Path("~f/x.png"), (".png",))
    check_out_folder(Path("~f/x"))
    with pytest.raises(ConfigurationError, match="only ~/ stands for a home folder"):
        check_out_folder(Path("~nobody"))
    with pytest.raises(ConfigurationError, match=r"~nobody-of-this-name/x\.png: cannot be read"):
        check_file("~nobody-of-this-name/x.png")


@pytest.mark.parametrize(
    ("application", "line"),
    [
        (cli.app, ["lens", ""]),
        (cli.app, ["lens", "good.png", "--out", ""]),
        (cli.app, ["readability", "--coco", ""]),
        (cli.app, ["readability", "--out", "x.csv", "--out", ""]),
        (cli.app, ["convert", "folder", ""]),
        (cli.app, ["demo", "draw", "--out="]),
        (figure_app(1, "x"), ["--image", ""]),
        (table_app(1, Path()), ["--results", ""]),
    ],
)
def test_an_empty_path_is_not_the_current_folder(
    application: Any, line: list[str], place: Path
) -> None:
    with pytest.raises(LlavitLensError, match="the name of a file or folder is empty"):
        ends(*line, application=application)


def test_every_path_of_a_command_line_is_parsed_as_one() -> None:
    scripts = [runpy.run_path(str(script))["app"] for script in sorted(ANALYSES.glob("*.py"))]
    parsers = []
    for application in (cli.app, cli.demo, *scripts):
        for command in application.registered_commands:
            hints = get_type_hints(command.callback, include_extras=True)
            for name, hint in hints.items():
                if "Path" in str(getattr(hint, "__origin__", "")):
                    parsers.append((name, hint.__metadata__[0].parser))
    assert len(parsers) > 25
    assert {name for name, parser in parsers if parser not in (cli.path, image_path)} == set()


@pytest.mark.parametrize("name", ["merges.txt", "tokenizer.json", "tokenizer.model"])
def test_a_small_file_that_leads_nowhere(name: str, tmp_path: Path) -> None:
    (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(CheckpointError, match=f"{name}: is a link that leads nowhere"):
        check_small_files(tmp_path)


def test_an_error_is_one_line_that_a_terminal_can_print() -> None:
    for error in (ConfigurationError, CheckpointError, ImageError):
        message = str(error("a\n b\x1b[31m\udcff\u202e: no such file"))
        assert message == r"a b\x1b[31m\udcff\u202e: no such file"
        assert str(error("ä: plain  text")) == "ä: plain  text"
