"""The two loops: `watch` (MongoDB to Kafka) and `sync` (Kafka to PostgreSQL), and what keeps their threads in order."""
