"""The method: cross-layer contrastive learning of latent semantics (Xie et al., IEEE TIP 33, 2024).

Pure torch: no files, no configuration. Data flows image -> encoder -> features -> MSR -> logits and evidence;
while training, features and embeddings also go to the cross-layer losses.
"""

from crossfer.method.encoder import ResNet
from crossfer.method.losses import CrossLayerLoss, FeatureError, LossTerms
from crossfer.method.model import CrossLayerNet, Output, build_model

__all__ = ["CrossLayerLoss", "CrossLayerNet", "FeatureError", "LossTerms", "Output", "ResNet", "build_model"]
