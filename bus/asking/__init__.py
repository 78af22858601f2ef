"""Questions to services, in Redis: asked, taken by one responder, answered once, looked after; knows no WebSocket."""
