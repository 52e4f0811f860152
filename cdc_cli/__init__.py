"""The CDC toolkit: changes travel from MongoDB through Kafka to PostgreSQL, and none is lost.

A change is *captured* from the change stream, *published* to Kafka, *checkpointed* by its resume token,
*consumed* from Kafka and *applied* to PostgreSQL. Each of those words is a sub-package.
"""

__version__ = "0.1.0"
