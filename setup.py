"""Packages of the wheel: only `dlx` is top-level.

`launch` and `configs` lie beside `dlx` in a checkout, and become `dlx.launch` and
`dlx.configs`, for other packages have these names too.
"""

from setuptools import find_namespace_packages, find_packages, setup

INSIDE = find_namespace_packages(
    include=["launch", "launch.*", "configs", "configs.*"],
    exclude=["launch.cluster"],
)

setup(
    packages=[
        *find_packages(include=["dlx", "dlx.*"]),
        *(f"dlx.{name}" for name in INSIDE),
    ],
    package_dir={"dlx.launch": "launch", "dlx.configs": "configs"},
)
