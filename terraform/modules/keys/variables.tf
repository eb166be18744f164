variable "name" {
  type        = string
  description = "Alias of the key."
}

variable "region" {
  type        = string
  description = "AWS region."
}

variable "account_id" {
  type        = string
  description = "The account that administers the key."
}
