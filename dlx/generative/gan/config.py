"""The valid values of a GAN's config."""

from dlx import choices, fields, optimizers
from dlx.errors import UserError
from dlx.generative import modalities, sampling
from dlx.generative.gan import inputs, losses
from dlx.runtime import devices

_KERNEL = fields.row(fields.integer(), 2, 2)
_WIDTHS = fields.row(fields.integer())

FIELDS = (
    modalities.FIELDS
    | sampling.FIELDS
    | {
        "dtype": fields.choice("float32", "bfloat16"),
        "latents": fields.integer(),
        "conditional": fields.flag(),
        "g_network": fields.choice("convolutions", "recurrent"),
        "pretrained": fields.optional(fields.text()),
        "g_channels": _WIDTHS,
        "d_channels": fields.row(_WIDTHS, 1),
        "d_features": _WIDTHS,
        "g_kernel": _KERNEL,
        "d_kernel": _KERNEL,
        "factor": _KERNEL,
        "d_norm": fields.choice("batch", "spectral", "none"),
        "minibatch_std": fields.flag(),
        "dropout": fields.row(fields.real(0, below=1)),
        "temperature": fields.real(above=0),
        "loss": fields.choice(*losses.LOSSES),
        "mixing": fields.choice(*losses.RULES),
        "mixing_strength": fields.real(0),
        "d_inputs": fields.choice(*inputs.CHOICES),
        "packing": fields.integer(),
        "diff_augment": fields.row(fields.choice(*inputs.AUGMENTATIONS)),
        "smoothing": fields.real(0, below=1),
        "instance_noise": fields.real(0),
        "r1": fields.real(0),
        "r2": fields.real(0),
        "g_steps": fields.integer(),
        "d_steps": fields.integer(),
        "g_learning_rate": fields.real(above=0),
        "d_learning_rate": fields.real(above=0),
        "adam_b1": fields.real(0, below=1),
        "adam_b2": fields.real(0, below=1),
        "optimizer": choices.FIELD,
        "schedule": fields.choice(*optimizers.SCHEDULES),
        "ema_decay": fields.real(0, below=1),
    }
)


def is_recurrent(config) -> bool:
    """Whether the generator is that of a language model."""
    return config.get("g_network") == "recurrent"


def require(config) -> None:
    """Raises UserError if the config is invalid."""
    if len(config.dropout) != len(config.d_channels):
        raise UserError(
            f"config.dropout={tuple(config.dropout)} and config.d_channels="
            f"{tuple(config.d_channels)} need an entry for each discriminator"
        )
    if config.packing > 1 and config.conditional:
        raise UserError(
            f"config.packing={config.packing} with config.conditional=True: packed "
            "images have no single class; use packing=1 or conditional=False"
        )
    if config.smoothing and not losses.LOSSES[config.loss].smooths:
        raise UserError(
            f"config.loss={config.loss} has no target to smooth; use config.smoothing=0"
        )
    if is_recurrent(config) and config.modality != "texts":
        raise UserError(
            f"config.g_network=recurrent writes texts, not {config.modality}; use "
            "convolutions"
        )
    share = devices.per_device("config.batch_size", config.batch_size)
    parts = config.packing * (
        len(config.d_channels) if config.d_inputs == "split" else 1
    )
    if share % parts:
        raise UserError(
            f"config.batch_size={config.batch_size}: a device's {share} images do not "
            f"divide into {parts} parts for packing and d_inputs"
        )
