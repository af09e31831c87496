"""How much of anything an image file may have, whatever its pixels."""

# A JPEG may describe its pixels in many passes over all of them: a small file that costs minutes to decode.
# Cameras write 1, progressive encoders about 10.
MAX_SCANS = 64
# Segments, chunks, strips or tiles; each costs some microseconds. Writers cut a photo into some thousand at
# most.
MAX_PARTS = 1 << 16
MAX_RUN_PIXELS = 1_000_000  # of a run-length encoded BMP
