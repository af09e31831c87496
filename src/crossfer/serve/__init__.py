"""The service over one recogniser: HTTP, WebSocket, and a page. Needs the extra ``serve``."""
