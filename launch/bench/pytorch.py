"""PyTorch as a peer: eager, compiled, and with CUDA graphs.

A bench makes PyTorch's training once for each of these ways, and dlx is compared with
the fastest of them. Optimisers are fused.
"""

from collections.abc import Callable
import functools
import importlib
import types

from absl import flags
import jax

from dlx.errors import first_line

# torch.compile's modes. 'autotuned' also has CUDA graphs, and takes minutes to compile.
_MODES = {
    "eager": None,
    "compiled": "default",
    "CUDA graphs": "reduce-overhead",
    "autotuned": "max-autotune",
}
_WAYS = flags.DEFINE_multi_enum(
    "torch",
    None,
    list(_MODES),
    "Ways to run PyTorch; by default eager, compiled and, on a GPU, CUDA graphs.",
)


def library() -> types.ModuleType | None:
    """Imports PyTorch for JAX's kind of device; prints a line if it is missing."""
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        print("PyTorch is not installed and not compared: pip install '.[bench]'")
        return None
    if jax.default_backend() == "gpu" and torch.cuda.is_available():
        torch.set_default_device("cuda")
        torch.set_float32_matmul_precision("high")  # TF32, like JAX
    return torch


def ways() -> list[str]:
    """Names of the ways to run PyTorch."""
    on_gpu = jax.default_backend() == "gpu"
    return _WAYS.value or ["eager", "compiled", *["CUDA graphs"] * on_gpu]


def candidates(
    torch: types.ModuleType | None, make: Callable
) -> dict[str, Callable[[], object]]:
    """Makes PyTorch's training in every way, and compiles it.

    A way that does not work here, for want of a C++ compiler for example, is left out
    with a line that says why.

    Args:
      torch: The library, or None.
      make: compile -> call. `compile` is a decorator of the functions of tensors that
        hold most of the work; `call` trains some steps, each after `begin_step`.
    """
    if not torch:
        return {}
    torch.compiler.reset()  # the number of programs of one function is limited
    calls = {}
    for way in ways():
        mode = _MODES[way]
        compile = functools.partial(torch.compile, mode=mode, dynamic=False)
        try:
            call = make(compile if mode else lambda function: function)
            call()
        except Exception as error:
            if not mode:
                raise
            print(f"PyTorch, {way}: {type(error).__name__}: {first_line(error)}")
            continue
        calls[f"PyTorch, {way}"] = call
    return calls


def begin_step(torch: types.ModuleType) -> None:
    """Lets CUDA graphs reuse the memory of the last step's results."""
    torch.compiler.cudagraph_mark_step_begin()
