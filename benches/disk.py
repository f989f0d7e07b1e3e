"""The disk alone."""

from common import measure_disk

measure_disk()
