"""The sample company 青禾生活: invented people and orders, the same in every installation."""
