"""The artifact store: tables and fits kept under a hash of what they were made from."""

import hashlib
import importlib.util
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

from clvkit.errors import RunError

_LABEL = "artifact.json"


def canonical_json(value: object) -> str:
    """JSON that is the same for equal values: keys sorted, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_text(text: str) -> str:
    """Hexadecimal sha256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_file(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def code_fingerprint(modules: tuple[str, ...]) -> str:
    """Hash of the source files of the given modules; a package counts with all the files below it.

    The modules are found, not imported. Two checkouts with the same sources agree, wherever they lie.

    Raises
    ------
    RunError : if a module cannot be found.
    """
    digest = hashlib.sha256()
    for module in sorted(modules):
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            raise RunError(f"the module {module} was not found", fix="run from the checkout of clvkit")
        origin = Path(spec.origin)
        files = sorted(origin.parent.rglob("*.py")) if spec.submodule_search_locations else [origin]
        for file in files:
            digest.update(f"{module}:{file.relative_to(origin.parent).as_posix()}\n".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def library_versions(names: Iterable[str]) -> dict[str, str]:
    """Installed version of each distribution."""
    return {name: version(name) for name in sorted(names)}


class Store:
    """Artifacts of one study, shared by its runs.

    An artifact is a folder ``<root>/<key>/`` with whatever files its kind writes and a label
    ``artifact.json`` that lists them with their sha256. It appears under its name in one rename, so that a
    reader finds all of it or nothing, and two processes that make the same artifact do not disturb each
    other: the second to finish keeps the first's. A folder that does not agree with its label is made again.
    """

    def __init__(self, root: Path):
        self.root = Path(root)

    @staticmethod
    def key(kind: str, ingredients: dict) -> str:
        """The artifact's name: sha256 of the canonical JSON of its kind and ingredients."""
        return sha256_text(canonical_json({"kind": kind, "ingredients": ingredients}))

    def folder(self, key: str) -> Path:
        """Where the artifact of this key lies or would lie."""
        return self.root / key

    def complete(self, key: str) -> bool:
        """Whether every file that the artifact's label lists is there, with the bytes it had."""
        folder = self.folder(key)
        try:
            label = json.loads((folder / _LABEL).read_text("utf-8"))
            return label["key"] == key and all(
                sha256_file(folder / name) == digest for name, digest in label["files"].items()
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def artifact[T](
        self,
        kind: str,
        ingredients: dict,
        *,
        make: Callable[[], T],
        save: Callable[[T, Path], object],
        load: Callable[[Path], T],
    ) -> tuple[str, T]:
        """Load the artifact made from these ingredients, or make and keep it.

        Parameters
        ----------
        kind : what it is, such as ``cells``; part of the key.
        ingredients : everything that decides its content, as JSON values: study sections, keys of other
            artifacts, hashes of inputs and code, library versions.
        make : makes it when it is not there.
        save : writes it into an empty folder.
        load : reads it from its folder; also used right after saving, so that a first run and a second
            one work on the same thing.

        Returns
        -------
        The key and the artifact.
        """
        key = self.key(kind, ingredients)
        if not self.complete(key):
            self._keep(key, kind, ingredients, make(), save)
        return key, load(self.folder(key))

    def _keep[T](
        self, key: str, kind: str, ingredients: dict, made: T, save: Callable[[T, Path], object]
    ) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        draft = self.root / f".new-{key[:12]}-{os.getpid()}-{secrets.token_hex(4)}"
        draft.mkdir()
        try:
            save(made, draft)
            files = {
                path.relative_to(draft).as_posix(): sha256_file(path)
                for path in sorted(draft.rglob("*"))
                if path.is_file()
            }
            label = {"key": key, "kind": kind, "ingredients": ingredients, "files": files}
            (draft / _LABEL).write_text(json.dumps(label, indent=1, sort_keys=True) + "\n", "utf-8")
            self._put(draft, key)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _put(self, draft: Path, key: str) -> None:
        """Rename the finished draft to its name; a broken folder of that name makes way."""
        for _ in range(3):
            try:
                os.rename(draft, self.folder(key))
                return
            except OSError:
                if self.complete(key):  # another process was first, with the same content
                    return
                if not self.folder(key).exists():
                    raise
            broken = self.root / f".old-{key[:12]}-{os.getpid()}-{secrets.token_hex(4)}"
            try:
                os.rename(self.folder(key), broken)
            except FileNotFoundError:
                continue
            shutil.rmtree(broken, ignore_errors=True)
        raise RunError(
            f"the artifact {key[:12]} could not be put into the store",
            place=f".store/{key[:12]}…",
            fix="remove that folder and run again",
        )
