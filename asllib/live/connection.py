"""A faster connection from the kernel to the page, for JupyterLab and Voila; see docs/live.md."""

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection


class PromptConnection(ZMQChannelsWebsocketConnection):
    """Send small answers at once: otherwise the server waits some 30 ms to fill a packet (Nagle's algorithm)."""

    def connect(self):
        """Connect to the kernel."""
        self.websocket_handler.set_nodelay(True)
        return super().connect()

    async def prepare(self):
        """Give the page the cookie ``_xsrf``, which it needs to end its kernel when it closes; Voila sets none."""
        _ = self.websocket_handler.xsrf_token  # reading it sets the cookie
        await super().prepare()
