"""The files specialist's tools: quick looks into the folder. Plain functions run in threads; each looks only where
``Folder`` lets it.
"""

from __future__ import annotations

from frontdesk.agents import Context, tool

from . import search
from .search import Head, Listing, SearchResult
from .services import Services


@tool(
    idempotent=True,
    keywords=("which files", "what files", "목록", "폴더"),
)
def list_files(*, path: str = ".", context: Context[Services]) -> Listing:
    """Lists what is directly in a folder: names, sizes, times.

    Args:
        path: A folder, relative to the desk's folder.
    """
    folder = context.dependencies.folder
    return search.list_files(folder, folder.locate(path))


@tool(idempotent=True, keywords=("glob", "named", "이름"))
def find_files(pattern: str, *, path: str = ".", context: Context[Services]) -> Listing:
    """Finds files by name, in all folders below a folder.

    Args:
        pattern: A glob (*.csv), a glob with folders (sales/**/*.csv), or a part of the name (may).
        path: Where to look.
    """
    folder = context.dependencies.folder
    return search.find_files(folder, pattern, folder.locate(path))


@tool(idempotent=True, keywords=("read", "head", "beginning", "읽어", "내용"))
def read_head(path: str, *, lines: int = 20, context: Context[Services]) -> Head:
    """Reads the first lines of a text file.

    Args:
        path: A file, relative to the desk's folder.
        lines: How many, at most 200.
    """
    folder = context.dependencies.folder
    return search.read_head(folder, folder.locate(path), lines)


@tool(idempotent=True, keywords=("grep", "contain", "mention", "검색"))
def search_files(text: str, *, pattern: str = "*", path: str = ".", context: Context[Services]) -> SearchResult:
    """Searches the contents of text files for a text, in upper or lower case; shows the first 50 lines that have it.

    Args:
        text: What to look for, literally.
        pattern: Which files, as for find_files.
        path: A folder or file to look in.
    """
    folder = context.dependencies.folder
    return search.search_files(folder, text, pattern, folder.locate(path))


FILE_TOOLS = (list_files, find_files, read_head, search_files)
