"""Quantised networks, QDQ or QOperator or a mixture: what all of them share; ``network`` imports a whole one."""
