"""From a bundle in single precision to one in eight bits; works on the file alone, without torch."""
