"""Which code a result depends on; it lies in ``mien.code`` now, and keeps this name as well."""

from mien.code import code_fingerprint, modules_of

__all__ = ["code_fingerprint", "modules_of"]
