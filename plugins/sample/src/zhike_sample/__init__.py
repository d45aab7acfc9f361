"""The sample company 青禾生活: invented people, companies and orders, the same in every installation."""
