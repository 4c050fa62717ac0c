"""The registry: models by name, over one repository. Every method that changes something is one transaction.

A method that addresses a version takes a revision (``"m"``, ``"m:1.0.0"``, ``"m@production"``, an id) or a name and a
version. A record is a plain dict, the caller's to change. What is refused is refused before anything is written.
"""

from __future__ import annotations

from friday_store.registry.bundles import Bundling
from friday_store.registry.drafting import ModelStatus
from friday_store.registry.keeping import Keeping
from friday_store.registry.naming import Naming
from friday_store.registry.recording import Recording

__all__ = ["ModelRegistry", "ModelStatus"]


class ModelRegistry(Recording, Naming, Keeping, Bundling):
    """A registry of models at a folder or URL.

    Args:
        url: A folder, or an fsspec URL. None: ``FRIDAY_STORE_URL``, else the nearest ``.friday`` up the tree, else
            a folder of this user's. It is created on the first write.
        index: Where the index is: a path or ``sqlite:///`` URL, or ``postgresql://`` for one that is shared. None:
            ``FRIDAY_STORE_INDEX``, else as ``friday-store index use`` said, else in the registry where that can be
            written, else in this user's cache. One that is missing, damaged or another registry's is made anew.
        models_dir: The same as ``url``.
        registry_dir: The same as ``url``.
        plugins: Where formats and hooks come from; None: what is installed.
        actor: Who writes; None: ``FRIDAY_STORE_ACTOR``, else the repository's configuration, else ``user@host``.
        compression: ``auto`` compresses what shrinks by 15 %; ``none`` stores everything raw, so that all of it maps.
            None: as the repository's configuration says.
        verify: ``changed`` hashes mapped data again only when its file changed; ``always`` hashes every load.
        storage_options: What fsspec's file system for the URL needs.
        trust: Whose models may run code; None: this user's file.
        identity: Whose key signs what is registered; None: this user's, made on first use.

    Raises:
        RepositoryError: The place holds something else, or a repository of a newer format.
        StorageError: It cannot be reached.
    """
