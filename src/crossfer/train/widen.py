"""A wider network that answers as a narrower one does, to go on from its weights.

After Chen et al., "Net2Net: Accelerating Learning via Knowledge Transfer", 2016, with zeros instead of
copies: what the narrower network computed reads nothing of the new channels, which start at random and are
therefore not alike.
"""

from __future__ import annotations

from torch import Tensor

Tensors = dict[str, Tensor]


def widen(theirs: Tensors, ours: Tensors) -> Tensors:
    """Weights of a narrower network in the sizes of a wider one, alike in all but ``model.width``.

    The new channels come after the old ones, which is also where a pixel shuffle wants them. Where MSR has an
    adapter in the narrower network and needs none in the wider one, the two do not fit together.

    Args:
        theirs: the state dict of the narrower network; not changed.
        ours: that of the wider one, freshly built: where the new channels start.

    Returns:
        A state dict with our sizes, but for the classes, which stay theirs. The wider network gives the same
        logits with it, to rounding. Tensors that have no place in the wider network are handed on.
    """
    wide = {name: _placed(theirs[name], ours[name]) if name in ours else theirs[name] for name in theirs}
    for name in ours.keys() - theirs.keys():
        if name.startswith("msr.adapters."):  # the narrower network needed none
            norm = theirs.get(f"encoder.layer{int(name.split('.')[2]) + 1}.0.bn2.bias")
            if norm is not None:
                wide[name] = _passing(ours[name], norm.shape[0])
    return wide


def _placed(theirs: Tensor, ours: Tensor) -> Tensor:
    """A tensor within a larger one: (out, in, ...) reads nothing of the inputs that it did not have."""
    if theirs.ndim == 0 or theirs.ndim != ours.ndim or theirs.shape[2:] != ours.shape[2:]:
        return theirs
    if theirs.shape[1:2] > ours.shape[1:2]:
        return theirs
    out = theirs.shape[0]
    wide = ours.clone() if out <= ours.shape[0] else ours.new_empty(out, *ours.shape[1:])
    if theirs.ndim == 1:
        wide[:out] = theirs.to(wide)
    else:
        wide[:out] = 0
        wide[:out, : theirs.shape[1]] = theirs.to(wide)
    return wide


def _passing(ours: Tensor, channels: int) -> Tensor:
    """Weight (out, in, 1, 1) or bias (out) of an adapter that hands on the first channels as they are."""
    wide = ours.clone()
    wide[:channels] = 0
    if wide.ndim > 1:
        kept = range(min(channels, wide.shape[1]))
        wide[kept, kept] = 1
    return wide
