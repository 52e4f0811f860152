"""What tests share: fixtures with real servers, and a TCP proxy that breaks connections on demand."""
